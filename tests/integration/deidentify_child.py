"""De-identification as a process of its own, to be killed: `python -m tests.integration.deidentify_child HOME`.

Prints a line before and after each step of each group, and `done` at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.front_door import FrontDoor

from wardround.foundation import files
from wardround.node.deidentify import intake


def told(owner: Any, name: str) -> None:
    step: Callable[..., Any] = getattr(owner, name)

    def telling(*args: Any, **kwargs: Any) -> Any:
        print(name, "begins", flush=True)
        result = step(*args, **kwargs)
        print(name, "ended", flush=True)
        return result

    setattr(owner, name, telling)


def main(home: Path) -> None:
    intake.GROUP = 7
    door = FrontDoor(home, workers=2)
    told(files.os, "replace")
    told(door.vault, "remember")
    told(intake, "_settle")
    told(intake, "close_finished")
    told(intake, "flush_directory")
    door.reception.recover()
    door.deidentification.start()
    door.deidentification.tick()
    door.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
