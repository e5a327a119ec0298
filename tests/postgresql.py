"""A PostgreSQL server of the tests' own: Debian's programs, a private folder, a Unix socket, no other listener."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))
INSTALLED = (PROGRAMS / "initdb").exists()


@contextmanager
def running() -> Iterator[Path]:
    """Start a server and give the folder of its socket. PostgreSQL won't run as root: root lends it to `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="wardround-pg-"))
    other = {"user": "postgres"} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    control = [PROGRAMS / "pg_ctl", "-D", data, "-w", "-s"]
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    initialise = [PROGRAMS / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-N"]
    try:
        subprocess.run(initialise, check=True, capture_output=True, cwd=folder, **other)
        start = [*control, "-l", folder / "log", "-o", options, "start"]
        subprocess.run(start, check=True, cwd=folder, stdout=subprocess.DEVNULL, **other)
        try:
            yield folder
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=folder, **other)
    finally:
        shutil.rmtree(folder)


def fresh_database(folder: Path) -> str:
    """The URL of a new, empty database on the server."""
    name = f"test_{uuid4().hex[:12]}"
    subprocess.run([PROGRAMS / "createdb", "-h", folder, "-U", "postgres", name], check=True)
    return f"postgresql+psycopg://postgres@/{name}?host={folder}"
