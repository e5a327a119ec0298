"""De-identification as a process of its own, to be killed: `python -m tests.integration.deidentify_child`.

Everything is imported once; each line on standard input, a home and how many processes do the work (0: its own), has it
fork one such process. It prints `born` and the process's id, then a line before and after each step of each group and
`done` at the end, and last `dead` and its exit code.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.front_door import FrontDoor, studies

from wardround.foundation import files
from wardround.node.deidentify import intake


def tell(line: str) -> None:
    """One write, so that a process killed in the middle of its line leaves none of it."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def told(owner: Any, name: str) -> None:
    step: Callable[..., Any] = getattr(owner, name)

    def telling(*args: Any, **kwargs: Any) -> Any:
        tell(f"{name} begins")
        result = step(*args, **kwargs)
        tell(f"{name} ended")
        return result

    setattr(owner, name, telling)


def work(home: Path, workers: int) -> None:
    intake.GROUP = 7
    door = FrontDoor(home, workers=workers)
    told(files.os, "replace")
    told(door.vault, "remember")
    told(intake, "_settle")
    told(intake, "close_finished")
    told(intake, "flush_directory")
    door.reception.recover()
    door.deidentification.start()
    door.deidentification.tick()
    door.close()
    tell("done")


def main() -> None:
    # What is imported when it is first needed is imported now.
    with tempfile.TemporaryDirectory() as scratch:
        door = FrontDoor(Path(scratch))
        door.give(studies()[0].slices[0])
        door.tick()
        door.close()
    for line in iter(sys.stdin.readline, ""):
        home, workers = line.split()
        child = os.fork()
        if not child:
            code = 1
            try:
                work(Path(home), int(workers))
                code = 0
            finally:
                os._exit(code)
        tell(f"born {child}")
        tell(f"dead {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    main()
