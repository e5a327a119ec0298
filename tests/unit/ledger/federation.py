"""A small federation on disk: a hub's log and the mirrors of a few sites, each with a database of its own."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.contracts.ledger_entry import HUB, Approval, Entry, Member
from wardround.foundation.database import Database
from wardround.ledger import tables
from wardround.ledger.envelope import sign_entry
from wardround.ledger.log import Log
from wardround.ledger.mirror import Mirror
from wardround.ledger.tree import root_of
from wardround.ledger.verification import verify

ORIGIN = "hub.example.org/ledger"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROJECT = "a" * 64


def open_database(path: Path) -> Database:
    database = Database(f"sqlite:///{path}", migrations="none")
    tables.metadata.create_all(database.engine)
    return database


@dataclass
class Site:
    name: str
    database: Database
    mirror: Mirror
    entry_key: Ed25519PrivateKey
    witness_key: Ed25519PrivateKey

    def member(self) -> Member:
        return Member(
            origin=HUB,
            at=NOON,
            site=self.name,
            entry_key=b64encode(self.entry_key.public_key().public_bytes_raw()).decode(),
            witness=self.mirror.vkey,
        )

    def sign(self, entry: Entry) -> bytes:
        return sign_entry(entry, self.entry_key, ORIGIN)

    def approval(self, project: str = "glioma") -> bytes:
        return self.sign(Approval(origin=self.name, at=NOON, project=project, project_digest=PROJECT))


@dataclass
class Federation:
    folder: Path
    key: Ed25519PrivateKey
    database: Database
    log: Log
    sites: list[Site] = field(default_factory=list)
    databases: list[Database] = field(default_factory=list)
    now: datetime = NOON

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def another_hub(self) -> Federation:
        """A log with the same key and name and a history of its own: what a lying hub keeps beside the first."""
        database = open_database(self.folder / f"hub-{len(self.databases)}.db")
        self.databases.append(database)
        return Federation(self.folder, self.key, database, Log(ORIGIN, self.key), self.sites, self.databases, self.now)

    def mirror(self, site: str, key: Ed25519PrivateKey, path: Path) -> tuple[Database, Mirror]:
        database = open_database(path)
        self.databases.append(database)
        return database, Mirror(database, site, self.log.vkey, key)

    def join(self, name: str) -> Site:
        entry_key, witness_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        database, mirror = self.mirror(name, witness_key, self.folder / f"{name}.db")
        site = Site(name, database, mirror, entry_key, witness_key)
        self.sites.append(site)
        self.record(site.member())
        return site

    def record(self, entry: Entry) -> int:
        with self.database.writing() as tx:
            return self.log.record(tx, entry)

    def append(self, *entries: bytes) -> list[int]:
        with self.database.writing() as tx:
            return self.log.append_many(tx, entries)

    def checkpoint(self) -> str:
        with self.database.writing() as tx:
            note = self.log.checkpoint(tx, self.tick())
        assert note is not None
        return note

    def entries(self, start: int, end: int) -> list[bytes]:
        with self.database.reading() as tx:
            return self.log.entries(tx, start, end - start)

    def size(self) -> int:
        with self.database.reading() as tx:
            return self.log.size(tx)

    def offer(self, site: Site) -> str | None:
        """Bring one mirror up to date, as a node does after each call."""
        start = site.mirror.state().received
        note = self.checkpoint()
        return site.mirror.take(start, self.entries(start, self.size()), note, self.tick())

    def _cosign(self, sites: Sequence[Site]) -> int:
        """These sites take and cosign the newest tree; its size."""
        size = self.size()
        for site in sites:
            line = self.offer(site)
            assert line is not None
            with self.database.writing() as tx:
                self.log.add_cosignature(tx, size, line)
        return size

    def cosigned_by(self, *sites: Site) -> int:
        """These sites take and cosign the newest tree; how far it is settled then, by the hub and by anyone offline."""
        self._cosign(sites)
        with self.database.reading() as tx:
            settled = self.log.settled(tx)
            assert verify(tx, self.log.vkey).settled == settled
        return settled

    def round_of_witnesses(self) -> str:
        """Every site takes and cosigns; the published note goes back to all."""
        size = self._cosign(self.sites)
        with self.database.reading() as tx:
            note = self.log.cosigned_note(tx, size)
        for site in self.sites:
            site.mirror.observe(note, self.tick())
        return note


def rooted(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes, from the leaves alone."""
    return root_of(leaves)
