"""A load as a process of its own, to be killed: `python -m tests.integration.records_child FOLDER [DATABASE]`.

Prints a line for each batch that is read and before and after each statement, `commits` before the commit, and `done`
at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from tests.records_lab import Lab, condition, given, gone, measurement, person

from wardround.node.records import load, staging
from wardround.node.records.row import Row
from wardround.node.records.store import Connection

PATIENTS = 60


def rows(version: int) -> list[Row]:
    """What the source says: the second time some is new, some changed, some taken back."""
    made: list[Row] = []
    for number in range(PATIENTS + 20 * version):
        patient = f"P{number}"
        day = date(2015, 1, 1) + timedelta(days=number)
        made += [person(patient), measurement(patient, f"m{number}", 40.0 + version * (number % 3), day)]
        one = condition(patient, f"c{number}", day)
        made.append(gone(one) if version and number % 7 == 0 else one)
    return made


def main(folder: Path, database: str = "") -> None:
    load.BATCH = 40
    staging._AT_ONCE = 30
    run = Connection.run

    def telling(self: Connection, sql: str, parameters: Sequence[object] = ()) -> int:
        print("begins", flush=True)
        changed = run(self, sql, parameters)
        print("commits" if "INTO record_load " in sql else "ended", flush=True)
        return changed

    Connection.run = telling  # type: ignore[method-assign]
    lab = Lab(folder, database)
    lab.loader.load(
        given(rows(1)), folder, source="trust", actor="os:tests", progress=lambda _: print("read", flush=True)
    )
    lab.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
