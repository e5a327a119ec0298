"""Wires the hub: which message goes to which handler, and what runs beside the listeners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from wardround.federation.engine import FederationEngine
from wardround.federation.flare.hub import FlareEngine
from wardround.federation.provisioning import Identity
from wardround.foundation.clock import Clock, now
from wardround.foundation.loop import Loop
from wardround.hub.api.exchange import Exchange
from wardround.hub.cohorts import handlers as cohorts
from wardround.hub.home import SERVER_NAME, HubHome
from wardround.hub.pages.server import pages_at
from wardround.hub.projects import handlers as projects
from wardround.hub.record.handlers import LedgerDesk
from wardround.hub.record.membership import found_once, part_revoked
from wardround.hub.record.publisher import Publisher
from wardround.hub.registry import evidence
from wardround.hub.registry.registration import Registration
from wardround.hub.runs import handlers as runs
from wardround.hub.runs.coordinator import RunCoordinator
from wardround.hub.runs.driver import EngineAddress, RunDriver
from wardround.hub.runs.merging import Merging
from wardround.hub.sites import handlers as sites
from wardround.hub.tasks import handlers as tasks
from wardround.hub.tasks.waiting import TaskWaits
from wardround.learning.packages import Packages
from wardround.ledger.log import Log

ENGINE_LOOKED_AT_EVERY = 0.5
"""Seconds; that one of the engine's processes ended stands in no database."""


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
    """A hub with all its handlers, its database at the newest migration and its ledger founded.

    Raises:
        Conflict: `faults` in its settings isn't what the ledger was founded with.
    """
    home.database.upgrade()
    exchange = Exchange()
    waits = TaskWaits(home.database)
    log = Log(home.ledger_origin, home.ledger_key)
    with home.database.writing() as session:
        found_once(session, log, faults=home.settings.faults, at=clock())
        part_revoked(session, log, clock())
    sites.register(exchange, log)
    tasks.register(exchange, waits)
    projects.register(exchange)
    cohorts.register(exchange)
    runs.register(exchange)
    evidence.register(exchange)
    LedgerDesk(log).register(exchange)
    coordinator = RunCoordinator(home.database, home.objects, log, clock)
    engine = flare_engine(home, coordinator)
    address = EngineAddress(home.settings.host, home.settings.engine_port)
    registration = Registration(home.objects, log, Packages(home.packages))
    merging = Merging(home.objects, log)
    driver = RunDriver(home.database, engine, address, registration, merging, clock)
    publisher = Publisher(home.database, log, clock)
    return Hub(
        home=home,
        clock=clock,
        exchange=exchange,
        waits=waits,
        background=[
            Loop("publisher", [publisher.tick], told=home.database),
            Loop("runs", [driver.tick], told=home.database, rest=ENGINE_LOOKED_AT_EVERY, close=engine.close),
            *pages_at(home),
        ],
    )


def flare_engine(home: HubHome, coordinator: RunCoordinator) -> FederationEngine:
    """The engine of hospitals, in the hub's own folder and under the federation's own root."""
    identity = Identity(
        name=SERVER_NAME,
        key=home.server_key,
        certificate=home.server_certificate,
        root=home.root_certificate,
    )
    return FlareEngine(
        home.engine,
        identity,
        coordinator,
        host=home.settings.listen,
        port=home.settings.engine_port,
    )
