"""Where code runs that isn't ours: a folder in, a folder out, and nothing else of this machine.

Built of bubblewrap's namespaces (`bwrap`, Debian: bubblewrap): no network, no other process, no capability, of the file
system only what is handed in, read-only. Memory, time, processes and output are bounded. Where no such jail can be had,
nothing runs.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psutil

from wardround.foundation.errors import WardroundError
from wardround.foundation.threads import ONE_EACH

_log = logging.getLogger(__name__)

INPUTS, OUTPUT = Path("/in"), Path("/out")
_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/alternatives")
"""What a program needs of the machine to start; nothing of it is the hospital's."""
_NAMESPACES = ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent")
_POLL = 0.05
_TOLD = 4000
"""Bytes of what a program said that are kept for this machine's own log."""


class JailUnavailable(WardroundError):
    """No jail can be made on this machine. The text says the mend."""

    code = "no-jail"


class JailEnded(WardroundError):
    """The work in a jail ended without a result. `code` says how: `out-of-time`, `out-of-memory`, `too-many-processes`,
    `too-much-output`, `stopped`, or `failed` where the program itself gave up."""

    code = "failed"


@dataclass(frozen=True)
class Bounds:
    """What work in a jail may take.

    memory_bytes: of all its processes together, resident, what lies in its `/tmp` aside; and of each one's data.
    seconds: from its start.
    scratch_bytes: in its `/tmp`, which is memory.
    output_bytes, output_files: in its output folder.
    processes: at once, threads included.
    threads: that numerical libraries are told to take.
    """

    memory_bytes: int = 4 * 1024**3
    seconds: float = 3600.0
    scratch_bytes: int = 512 * 1024**2
    output_bytes: int = 4 * 1024**3
    output_files: int = 1000
    processes: int = 256
    threads: int = 1


def check_jail() -> None:
    """Can this machine make a jail? Raises `JailUnavailable`."""
    if reason := _unavailable():
        raise JailUnavailable(reason)


def run_jailed(
    command: Sequence[str],
    *,
    inputs: Mapping[str, Path],
    output: Path,
    bounds: Bounds,
    python: bool = False,
    stop: Callable[[], bool] | None = None,
) -> None:
    """Run a command to its end with `inputs` at `/in/NAME`, read-only, and the folder `output` at `/out`.

    Args:
        command: as it is to be called within the jail.
        output: an empty folder of this call's own; what comes of the program is to be read with distrust.
        python: it may read this interpreter, its packages and Wardround's own.
        stop: asked again and again; the work ends once it answers true.

    Raises:
        JailUnavailable: no jail can be had here; nothing was run.
        JailEnded: see there. The output folder may hold half of something.
    """
    check_jail()
    began = time.monotonic()
    with TemporaryFile() as said:
        process = subprocess.Popen(
            [*_bubblewrap(inputs, output, bounds, python=python), *_limits(bounds), *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            env={},
        )
        try:
            while process.poll() is None:
                if reason := _exceeded(process, output, bounds, time.monotonic() - began, stop):
                    raise JailEnded(f"the work in the jail was ended: {reason}", code=reason)
                try:
                    process.wait(_POLL)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            # The jail's first process dies with bwrap, and all others with that one: they are in a namespace of its.
            process.kill()
            process.wait()
        if process.returncode:
            _log.warning("a program in the jail ended with %s; it said: %s", process.returncode, _tail(said))
            raise JailEnded(f"the program in the jail ended with {process.returncode}; see this node's log")
    if reason := _overflowing(output, bounds):
        raise JailEnded(f"the work in the jail was not taken: {reason}", code=reason)


def plain(file: Path, largest: int) -> bytes:
    """A file that a jail left, and not one elsewhere to which it left a link. Raises `JailEnded`."""
    try:
        state = file.lstat()
    except OSError:
        raise JailEnded(f"the program in the jail left no {file.name}") from None
    if not stat.S_ISREG(state.st_mode) or state.st_size > largest:
        raise JailEnded(f"the program in the jail left a {file.name} that can't be read")
    return file.read_bytes()


def _bubblewrap(inputs: Mapping[str, Path], output: Path, bounds: Bounds, *, python: bool) -> list[str]:
    said = ["bwrap", *_NAMESPACES, "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    said += ["--new-session", "--hostname", "jail", "--clearenv"]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 - the jail's own
        "LANG": "C.UTF-8",
        "USER": "jail",  # there is no list of users to look one up in
        **dict.fromkeys(ONE_EACH, str(bounds.threads)),
    }
    if python:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    for name, value in environment.items():
        said += ["--setenv", name, value]
    for place in map(Path, _SYSTEM):
        how = ["--symlink", str(place.readlink())] if place.is_symlink() else ["--ro-bind-try", str(place)]
        said += [*how, str(place)]
    said += ["--proc", "/proc", "--dev", "/dev", "--size", str(bounds.scratch_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    for place in _interpreter() if python else ():
        said += ["--ro-bind", str(place), str(place)]
    for name, source in inputs.items():
        if not name.replace("-", "").isalnum():
            raise ValueError(f"an input's name is letters, digits and hyphens, not {name!r}")
        said += ["--ro-bind", str(source.resolve(strict=True)), str(INPUTS / name)]
    return [*said, "--bind", str(output.resolve(strict=True)), str(OUTPUT), "--chdir", str(OUTPUT), "--"]


def _limits(bounds: Bounds) -> list[str]:
    """Limits of each process (setrlimit(2)), set from within, so that they count the jail's processes alone.

    The kernel holds root to no number of processes; a node that runs as root has the watch alone for that.
    """
    seconds = max(1, int(bounds.seconds * max(1, bounds.threads)) + 1)
    return [
        "prlimit",
        f"--data={bounds.memory_bytes}",
        f"--cpu={seconds}",
        f"--fsize={bounds.output_bytes}",
        f"--nproc={bounds.processes}",
        "--core=0",
        "--",
    ]


def _interpreter() -> Iterator[Path]:
    """This interpreter, its packages, and Wardround's own where they lie elsewhere."""
    seen: list[Path] = []
    package = Path(__file__).resolve().parents[1]
    for place in (Path(sys.base_prefix), Path(sys.prefix), package):
        whole = place.resolve()
        if not whole.is_relative_to("/usr") and not any(whole.is_relative_to(other) for other in seen):
            seen.append(whole)
            yield whole


def _exceeded(
    process: subprocess.Popen[bytes], output: Path, bounds: Bounds, seconds: float, stop: Callable[[], bool] | None
) -> str:
    if stop is not None and stop():
        return "stopped"
    if seconds > bounds.seconds:
        return "out-of-time"
    processes, resident = _taken(process.pid)
    if processes > bounds.processes:
        return "too-many-processes"
    if resident > bounds.memory_bytes:
        return "out-of-memory"
    return _overflowing(output, bounds)


def _taken(pid: int) -> tuple[int, int]:
    """How many processes there are below this one, and how many bytes of memory they hold."""
    resident = 0
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0, 0  # it has just ended
    for one in below:
        with suppress(psutil.Error):  # the same
            resident += one.memory_info().rss
    return len(below), resident


def _overflowing(output: Path, bounds: Bounds) -> str:
    files = size = 0
    folders = [output]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                    if files > bounds.output_files or size > bounds.output_bytes:
                        return "too-much-output"
        except OSError:
            continue  # it went away, or the program locked its own folder; the caller won't read that either
    return ""


def _tail(said: IO[bytes]) -> str:
    end = said.seek(0, os.SEEK_END)
    said.seek(max(0, end - _TOLD))
    return said.read(_TOLD).decode("utf-8", "replace").encode("unicode_escape").decode()


@cache
def _unavailable() -> str:
    """Why no jail can be made here; nothing where one can. Tried once, by making one."""
    mend = "install bubblewrap (Debian: apt-get install bubblewrap)"
    for program in ("bwrap", "prlimit"):
        if shutil.which(program) is None:
            return f"there is no `{program}` on this machine, so that a package's own code can't run; {mend}"
    try:
        tried = subprocess.run(
            ["bwrap", *_NAMESPACES, "--ro-bind", "/", "/", "--", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "bubblewrap doesn't start on this machine, so that a package's own code can't run"
    if tried.returncode:
        return (
            "bubblewrap gets no namespaces on this machine, so that a package's own code can't run; it has to be "
            "version 0.8 or later, and the kernel has to allow user namespaces to this program, in a container too"
        )
    return ""
