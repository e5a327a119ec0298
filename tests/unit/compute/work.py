"""Functions that a worker does in tests; it finds them by name."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

KEPT: list[int] = []


class OddError(RuntimeError):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def double(number: int) -> int:
    return 2 * number


def remember(number: int) -> list[int]:
    KEPT.append(number)
    return KEPT


def where() -> tuple[int, str, int]:
    return os.getpid(), os.environ["OMP_NUM_THREADS"], os.nice(0)


def fail(code: str) -> None:
    raise OddError(code)


def die() -> None:
    os._exit(7)


def never_ends(started: Path) -> None:
    started.write_text(str(os.getpid()))
    while True:
        time.sleep(60)


def has_torch() -> bool:
    return "torch" in sys.modules
