"""Wires the node: which task goes to which handler, and what runs beside the link."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from wardround.foundation.clock import Clock, now
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import Link


class Background(Protocol):
    """Something that runs while the node serves; started before the link, stopped after it, in reverse order."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Node:
    """A node that can be served (`node.serving.run`)."""

    home: NodeHome
    clock: Clock
    gateway: Gateway
    handlers: TaskHandlers
    link: Link
    background: list[Background] = field(default_factory=list)


def build(home: NodeHome, *, clock: Clock = now) -> Node:
    """A node with all its handlers, its database at the newest migration."""
    home.database.upgrade()
    gateway = Gateway(home, clock=clock)
    handlers = TaskHandlers()
    return Node(home, clock, gateway, handlers, Link(home, gateway, handlers, clock=clock))
