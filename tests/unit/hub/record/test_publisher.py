"""Every site comes to hear of the newest checkpoint and of who cosigned it, whatever came between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from wardround.foundation.database import Database
from wardround.hub.record.membership import announce
from wardround.hub.record.publisher import ASKED_AGAIN_AFTER, Publisher
from wardround.hub.sites.tables import Site
from wardround.hub.tasks.tables import QueuedTask
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.cosignature import cosign
from wardround.ledger.log import Log
from wardround.ledger.note import SignatureType, Signer

SITES = ("north", "south", "west")


class Hub:
    def __init__(self, folder: Path) -> None:
        self.time = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.database = Database(f"sqlite:///{folder / 'hub.db'}", migrations="wardround.hub.migrations")
        self.database.upgrade()
        self.log = Log("wardround/test", Ed25519PrivateKey.generate())
        self.keys = {site: Ed25519PrivateKey.generate() for site in SITES}
        with self.database.writing() as session:
            for site in SITES:
                session.add(Site(name=site, state="member", invited_at=self.time))
        self.grow("north")
        self.publisher = Publisher(self.database, self.log, lambda: self.time)

    def grow(self, site: str) -> None:
        """One more entry: the site is announced, under a new key if it was before."""
        with self.database.writing() as session:
            vkey = str(Signer(site, SignatureType.NOTE, self.keys[site]).verifier)
            announce(session, self.log, site, vkey, at=self.time)

    def queued(self) -> list[str]:
        with self.database.reading() as session:
            return sorted(session.scalars(select(QueuedTask.site).where(QueuedTask.state == "queued")))

    def report(self, *sites: str) -> None:
        with self.database.writing() as session:
            session.execute(update(QueuedTask).where(QueuedTask.site.in_(sites)).values(state="done"))

    def cosign(self, *sites: str) -> None:
        with self.database.writing() as session:
            note = self.log.published(session)
            assert note is not None
            checkpoint = open_checkpoint(note, self.log.verifier)
            for site in sites:
                line = cosign(checkpoint, Signer(site, SignatureType.COSIGNATURE, self.keys[site]), self.time)
                self.log.add_cosignature(session, checkpoint.size, line)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path)
    hub.grow("south")
    hub.grow("west")
    return hub


def test_growth_is_signed_once_and_every_site_is_asked(hub: Hub) -> None:
    assert hub.publisher.tick() == 3
    assert hub.queued() == sorted(SITES)
    assert hub.publisher.tick() is None
    assert hub.queued() == sorted(SITES)


def test_a_site_that_was_busy_when_the_ledger_grew_is_asked_once_it_has_reported(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.publisher.tick()
    hub.grow("south")
    hub.publisher.tick()
    assert hub.queued() == sorted(SITES)
    hub.report("north")
    assert hub.publisher.tick() == 2
    assert hub.queued() == sorted(SITES)


def test_all_cosignatures_are_shared_with_every_site_once(hub: Hub) -> None:
    hub.publisher.tick()
    hub.cosign(*SITES)
    hub.report(*SITES)
    assert hub.publisher.tick() == 3
    assert hub.queued() == sorted(SITES)
    hub.report(*SITES)
    hub.time += timedelta(days=1)
    assert hub.publisher.tick() is None


def test_a_quorum_is_shared_without_waiting_for_a_site_that_is_away(hub: Hub) -> None:
    hub.publisher.tick()
    hub.cosign("north", "south")
    hub.report("north", "south")
    assert hub.publisher.tick() is None
    hub.time += ASKED_AGAIN_AFTER
    assert hub.publisher.tick() == 3
    assert hub.queued() == sorted(SITES)


def test_a_site_that_reports_without_cosigning_is_reminded_but_not_flooded(hub: Hub) -> None:
    hub.publisher.tick()
    hub.report("north")
    assert hub.publisher.tick() is None
    hub.time += ASKED_AGAIN_AFTER
    assert hub.publisher.tick() == 3
    assert hub.queued() == sorted(SITES)
