"""Serves a node in this process."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType

from wardround.node.app import Node

LOG = logging.getLogger(__name__)


def run(node: Node, ready: Callable[[], None]) -> None:
    """Serve `node` until SIGTERM or Ctrl-C; `ready` is called once all its parts have started.

    That the hub answers isn't waited for: the link tries patiently.
    """
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
        stop.wait()
    finally:
        for part in reversed(started):
            part.stop()
        node.gateway.close()
        node.home.close()
        LOG.info("stopped")
