"""A program's log: a file in its home, one line an event.

A log line never carries the text of an exception from below, which may hold a path, a name or a value from a
header: an exception is told by its type and where it came from in the code. What a program logs itself is codes,
counts, names of sites and projects.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from time import gmtime
from types import TracebackType

LARGEST_FILE = 10 * 1024 * 1024
FILES_KEPT = 5


class DiscreetFormatter(logging.Formatter):
    """Time in UTC, level, logger, message; of an exception its types and places, never its words."""

    converter = staticmethod(gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatException(  # noqa: N802 - the name that logging calls
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        lines: list[str] = []
        error = ei[1]
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            lines.append(f"  {type(error).__module__}.{type(error).__qualname__}")
            for frame in traceback.extract_tb(error.__traceback__):
                lines.append(f"    {Path(frame.filename).name}:{frame.lineno} in {frame.name}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(lines)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - the name that logging calls
        return ""


def log_to(folder: Path, program: str, *, level: int = logging.INFO, console: bool = False) -> None:
    """Send this process's log to `folder/program.log` (rotated at 10 MiB, five kept), and to stderr if asked."""
    folder.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        RotatingFileHandler(folder / f"{program}.log", maxBytes=LARGEST_FILE, backupCount=FILES_KEPT, encoding="utf-8")
    ]
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(DiscreetFormatter())
    _log_with(handlers, level)


def log_through(tell: Callable[[int, str, str], None], *, level: int = logging.INFO) -> None:
    """Send this process's log to another one, which writes it: `tell` takes level, logger and text of each line."""
    _log_with([_Relay(tell)], level)


class _Relay(logging.Handler):
    def __init__(self, tell: Callable[[int, str, str], None]) -> None:
        super().__init__()
        self._tell = tell
        self._formatter = DiscreetFormatter()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self._formatter.formatException(record.exc_info)
        self._tell(record.levelno, record.name, text)


def _log_with(handlers: list[logging.Handler], level: int) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    threading.excepthook = _log_thread_end
    for chatty in ("httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _log_thread_end(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        error = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logging.getLogger(__name__).error("a thread ended by an error", exc_info=error)
