"""One table from task to handler: what this node does with each thing that the hub may ask.

    handlers = TaskHandlers()
    handlers.register(CountCohort)(count)      # count(task) -> None

A handler runs in a thread of its own and may take long. It may be called again for the same task after a restart, so
it must do no harm twice. How it ends is reported to the hub as a code: returning is `done`, `NotAllowed` is
`refused`, any other `WardroundError` is `failed`; `Unreachable` is tried again, and what this hospital's policy
doesn't let it do at that hour is put off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from wardround.contracts.base import Frozen

T = TypeVar("T", bound=Frozen)
Handler = Callable[[Any], None]


class TaskHandlers:
    """The table of handlers."""

    def __init__(self) -> None:
        self._handlers: dict[type[Frozen], Handler] = {}

    def register(self, kind: type[T]) -> Callable[[Callable[[T], None]], Callable[[T], None]]:
        """A decorator that makes a function the handler of tasks of `kind`; one handler a kind."""

        def keep(handler: Callable[[T], None]) -> Callable[[T], None]:
            if kind in self._handlers:
                raise ValueError(f"{kind.__name__} has a handler already")
            self._handlers[kind] = handler
            return handler

        return keep

    def find(self, task: Frozen) -> Handler | None:
        return self._handlers.get(type(task))
