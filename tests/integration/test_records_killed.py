"""kill -9 at any moment of a load: all of it is in the records or nothing, and the same command again finishes it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests import postgresql
from tests.integration.records_child import PATIENTS, rows
from tests.records_lab import Lab

ROOT = Path(__file__).parents[2]
KILLS = 2


def run(folder: Path, database: str, until: int | str = "done") -> bool:
    """Let the child go until it has told so many lines, or this one, then kill it; whether it came to its end before.
    At `commits`, the kill and the commit race with each other."""
    command = [sys.executable, "-m", "tests.integration.records_child", str(folder), database]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout, 1):
            if until != "done" and until in (number, line.strip()):
                process.kill()
                break
        return process.wait() == 0


@pytest.mark.parametrize("engine", ["duckdb", "postgresql"])
def test_a_killed_load_leaves_all_or_nothing_and_is_finished_by_the_next(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = ""
    if engine == "postgresql":
        database = postgresql.fresh_database(request.getfixturevalue("postgresql_server"))
    lab = Lab(tmp_path, database)
    lab.load(*rows(0))
    before = lab.everything()
    lab.close()

    (tmp_path / "whole").mkdir()
    whole = Lab(tmp_path / "whole")
    whole.load(*rows(0))
    whole.load(*rows(1))
    after = whole.everything()
    whole.close()

    rng = random.Random(5)  # noqa: S311 - moments to kill at, not a secret
    for moment in (*(rng.randint(1, 90) for _ in range(KILLS)), "commits"):
        assert not run(tmp_path, database, moment)
        assert state(tmp_path, database) in ((before, after) if moment == "commits" else (before,))
    assert run(tmp_path, database)
    assert state(tmp_path, database) == after
    assert [each.name for each in (tmp_path / "omop" / "staging").iterdir()] == ["lock"], "what was staged is gone"
    run(tmp_path, database, "commits")
    assert state(tmp_path, database) == after, "the same load again changes nothing, wherever it ends"


def state(folder: Path, database: str) -> dict[str, list[tuple[object, ...]]]:
    """What is in the records, for a new process."""
    lab = Lab(folder, database)
    found = lab.everything()
    [[people]] = lab.rows("SELECT count(DISTINCT person_id) FROM measurement")
    assert people in (PATIENTS, PATIENTS + 20)
    pseudonyms = {row[0] for row in lab.rows("SELECT person_source_value FROM person")}
    assert pseudonyms <= lab.vault.pseudonyms(), "whoever has records can be re-linked"
    lab.close()
    return found
