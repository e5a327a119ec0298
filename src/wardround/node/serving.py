"""Serves a node in this process."""

from __future__ import annotations

import fcntl
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from wardround.foundation.errors import Conflict, WardroundError
from wardround.node.app import Node

LOG = logging.getLogger(__name__)
LINK_LOOKED_AT_EVERY = 1.0


class LinkEnded(WardroundError):
    """The loop with the hub ended by itself."""

    code = "link-ended"


def run(node: Node, ready: Callable[[], None]) -> None:
    """Serve `node` until SIGTERM or Ctrl-C; `ready` is called once all its parts have started.

    That the hub answers isn't waited for: the link tries patiently.

    Raises:
        Conflict: another process serves this home.
        LinkEnded: the link died; better a node that stops, and says so, than one that is deaf.
    """
    with alone(node.home.path):
        _run(node, ready)


def _run(node: Node, ready: Callable[[], None]) -> None:
    stop = threading.Event()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    started = []
    try:
        for part in [*node.background, node.link]:
            part.start()
            started.append(part)
        LOG.info("serving site %s of federation %s", node.home.site, node.home.federation)
        ready()
        while not stop.wait(LINK_LOOKED_AT_EVERY):
            if not node.link.alive:
                raise LinkEnded("the link to the hub ended by an error; the log says where. Serve again")
    finally:
        for part in reversed(started):
            part.stop()
        node.gateway.close()
        node.home.close()
        LOG.info("stopped")


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the home's lock; the system lets go of it when the process ends, however it ends.

    Raises:
        Conflict: another process holds it.
    """
    with (home / "serving.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"another process serves {home} already; stop it first") from None
        yield
