"""A hub that lies, and real nodes under it: their mirrors, witnesses and entries; only the network is left out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.contracts.ledger_entry import HUB, Approval, Member
from wardround.contracts.outbound import Message, MirrorBatch, Reply
from wardround.foundation.database import Database
from wardround.foundation.errors import WardroundError
from wardround.hub.api.exchange import Exchange
from wardround.hub.record.handlers import LedgerDesk
from wardround.ledger.log import Log
from wardround.ledger.mirror import Mirror
from wardround.ledger.trust import LedgerUntrusted
from wardround.node.gateway.errors import HubRefused
from wardround.node.gateway.gateway import checked
from wardround.node.record.entries import SiteEntries
from wardround.node.record.witness import Witness

ORIGIN = "hub.example.org/ledger"
PROJECT = "a" * 64
Lie = Callable[[Message, Reply], Reply]


class LyingHub:
    """One key, and as many ledgers as it likes: `shown` says which of them each site is shown."""

    def __init__(self, folder: Path, *sites: str) -> None:
        self.folder = folder
        self.time = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.log = Log(ORIGIN, Ed25519PrivateKey.generate())
        self.databases: list[Database] = []
        self.shown: dict[str, Database] = {}
        honest = self.ledger()
        self.nodes = {site: Node(self, site, honest) for site in sites}
        with honest.writing() as tx:
            for node in self.nodes.values():
                self.log.record(tx, node.member())

    def clock(self) -> datetime:
        return self.time

    def ledger(self, copied: Database | None = None, upto: int = 0) -> Database:
        """A ledger of its own, empty or with the first entries of another."""
        database = Database(
            f"sqlite:///{self.folder / f'hub-{len(self.databases)}.db'}", migrations="wardround.hub.migrations"
        )
        database.upgrade()
        self.databases.append(database)
        if copied is not None:
            self.copy(copied, database, 0, upto)
        return database

    def copy(self, source: Database, target: Database, start: int, end: int) -> None:
        """Take entries from one of its ledgers into another, past its own rules where they are in the way."""
        from wardround.ledger import store

        with source.reading() as tx:
            rows = [store.Row.read(data) for data in self.log.entries(tx, start, end - start)]
        with target.writing() as tx:
            store.extend(tx, store.frontier(tx, store.lock(tx)), rows)

    def size(self, database: Database) -> int:
        with database.reading() as tx:
            return self.log.size(tx)

    def later(self, **delta: float) -> None:
        self.time += timedelta(**delta)

    def publish(self) -> None:
        """Every site hears of the newest checkpoint of the ledger that it is shown, and then of its cosignatures."""
        for _ in range(2):
            for site, node in self.nodes.items():
                with self.shown[site].writing() as tx:
                    self.log.checkpoint(tx, self.time)
                node.catch_up()

    def close(self) -> None:
        for database in self.databases:
            database.close()


class Node:
    def __init__(self, hub: LyingHub, site: str, shown: Database) -> None:
        self.hub = hub
        self.site = site
        self.key = Ed25519PrivateKey.generate()
        self.path = hub.folder / f"{site}.db"
        self.trouble: str | None = None
        self.lie: Lie = lambda _message, reply: reply
        hub.shown[site] = shown
        exchange = Exchange()
        LedgerDesk(hub.log).register(exchange)
        self._handlers = cast(Any, exchange)._handlers
        self.restart()

    def restart(self) -> None:
        """Everything anew from what is on the disk."""
        self.database = Database(f"sqlite:///{self.path}", migrations="wardround.node.migrations")
        self.database.upgrade()
        self.hub.databases.append(self.database)
        gateway = cast(Any, self)
        self.mirror = Mirror(self.database, self.site, self.hub.log.verifier, self.key)
        self.entries = SiteEntries(self.site, self.key, ORIGIN, gateway, self.mirror, clock=self.hub.clock)
        self.witness = Witness(self.mirror, self.hub.log.verifier, gateway, self.hub.clock)

    def member(self) -> Member:
        raw = self.key.public_key().public_bytes_raw()
        return Member(
            origin=HUB,
            at=self.hub.time,
            site=self.site,
            entry_key=b64encode(raw).decode(),
            witness=self.mirror.vkey,
        )

    def send(self, message: Message, attachment: bytes = b"") -> tuple[Reply, bytes]:
        """The gateway's place."""
        checked(message, len(attachment), 0)
        caller = SimpleNamespace(site=self.site, database=self.hub.shown[self.site], now=self.hub.clock)
        try:
            reply = self._handlers[type(message)](caller, message, attachment)
        except WardroundError as error:
            raise HubRefused(str(error), code=error.code) from None
        return self.lie(message, reply), b""

    def put(self, project: str) -> int:
        return self.entries.put(Approval(origin=self.site, at=self.hub.time, project=project, project_digest=PROJECT))

    def catch_up(self) -> None:
        try:
            self.witness.catch_up()
        except WardroundError as error:
            self.trouble = error.code

    def why_not(self) -> str | None:
        """Why this node would do no work now; None if it would."""
        try:
            self.mirror.check_trusted(self.hub.time)
        except LedgerUntrusted as refusal:
            assert refusal.code == "ledger-untrusted"
            return refusal.reason
        return None


def with_entries(change: Callable[[list[str]], list[str]]) -> Lie:
    """A lie about the entries that a mirror is sent."""

    def lie(_message: Message, reply: Reply) -> Reply:
        if not isinstance(reply, MirrorBatch):
            return reply
        return reply.model_copy(update={"entries": tuple(change(list(reply.entries)))})

    return lie
