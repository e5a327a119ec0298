"""Wires the hub: which message goes to which handler, and what runs beside the listeners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from wardround.foundation.clock import Clock, now
from wardround.hub.api.exchange import Exchange
from wardround.hub.home import HubHome
from wardround.hub.sites import handlers as sites
from wardround.hub.tasks import handlers as tasks
from wardround.hub.tasks.waiting import TaskWaits


class Background(Protocol):
    """Something that runs while the hub serves. Both are called in a worker thread."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Hub:
    """A hub that can be served (`hub.serving.serve`)."""

    home: HubHome
    clock: Clock
    exchange: Exchange
    waits: TaskWaits
    background: list[Background] = field(default_factory=list)


def build(home: HubHome, *, clock: Clock = now) -> Hub:
    """A hub with all its handlers, its database at the newest migration."""
    home.database.upgrade()
    exchange = Exchange()
    waits = TaskWaits(home.database)
    sites.register(exchange)
    tasks.register(exchange, waits)
    return Hub(home=home, clock=clock, exchange=exchange, waits=waits)
