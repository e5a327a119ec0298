"""The command line shows help without loading what only some commands need."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wardround.foundation.silence import SILENT

PROGRAM = """
import sys
from wardround.cli.main import run
sys.argv = ["wardround", *sys.argv[1:]]
try:
    run()
except SystemExit as ended:
    assert ended.code in (0, 2), ended.code
print("\\nMODULES", " ".join(sorted(sys.modules)))
"""
HEAVY = {"torch", "monai", "nvflare", "sqlalchemy", "fastapi", "uvicorn", "httpx", "pydicom", "numpy"}
ENGINES = {"duckdb", "ibis", "pyarrow", "pandas"}
HEAVY |= ENGINES
HEAVY |= {"cryptography", "alembic", "highdicom", "pynetdicom", "nibabel", "rich", "argon2", "pyotp"}


@pytest.mark.parametrize("arguments", [["--help"], ["hub", "--help"], ["node", "join", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    shown, _, modules = finished.stdout.rpartition("MODULES ")
    assert "wardround" in shown
    assert HEAVY & {name.split(".")[0] for name in modules.split()} == set()


def test_a_node_and_its_commands_load_what_reads_health_records_only_where_there_are_any() -> None:
    program = "import sys, wardround.node.app; print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ENGINES & {name.split(".")[0] for name in finished.stdout.split()} == set()


def test_every_noun_is_shown() -> None:
    from wardround.cli.main import NOUNS

    finished = subprocess.run(
        [sys.executable, "-c", "from wardround.cli.main import run; run()", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for noun in NOUNS:
        assert f"\n  {noun} " in finished.stdout


def test_a_command_tells_what_is_installed_beside_it_to_phone_nobody() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SILENT}
    asked = PROGRAM + "import os\nprint({name: os.environ[name] for name in sys.argv[2:]})"
    command = [sys.executable, "-c", asked, "--version", *SILENT]
    told = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert told.stdout.splitlines()[-1] == str(SILENT), told.stderr
