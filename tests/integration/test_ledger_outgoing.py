"""What a site tells the ledger of is kept with what it did, and comes to the hub once, whatever lies between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.integration.lying_hub import LyingHub, Node

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Purge, Reidentification
from wardround.contracts.outbound import EntryAccepted, Message, Reply
from wardround.hub.record.membership import found_ledger
from wardround.ledger.members import EntryRefused
from wardround.node.gateway.errors import HubRefused, HubUnreachable
from wardround.node.record.tables import OutgoingEntry


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LyingHub]:
    hub = LyingHub(tmp_path, "north")
    hub.publish()
    yield hub
    hub.close()


def kept(node: Node) -> list[tuple[int | None, str | None]]:
    with node.database.reading() as session:
        rows = session.scalars(select(OutgoingEntry).order_by(OutgoingEntry.id))
        return [(row.index, row.refused) for row in rows]


def looked_up(hub: LyingHub) -> Reidentification:
    return Reidentification(
        origin="north", at=hub.time, reason="incidental-finding", people=Count(about=None), record="0" * 64
    )


def test_what_is_rolled_back_is_not_told(hub: LyingHub) -> None:
    north = hub.nodes["north"]
    with pytest.raises(RuntimeError), north.database.writing() as session:
        north.entries.later(session, looked_up(hub))
        raise RuntimeError
    assert north.entries.submit_waiting(north.database) == 0
    assert hub.size(hub.shown["north"]) == 1


def test_an_answer_that_was_lost_makes_no_second_entry(hub: LyingHub) -> None:
    north = hub.nodes["north"]
    with north.database.writing() as session:
        north.entries.later(session, looked_up(hub))

    def lost(_message: Message, reply: Reply) -> Reply:
        if isinstance(reply, EntryAccepted):
            raise HubUnreachable("a test")
        return reply

    honest, north.lie = north.lie, lost
    with pytest.raises(HubUnreachable):
        north.entries.submit_waiting(north.database)
    north.lie = honest
    assert kept(north) == [(None, None)]
    assert north.entries.submit_waiting(north.database) == 1
    assert north.entries.submit_waiting(north.database) == 0
    assert kept(north) == [(1, None)]
    hub.publish()
    assert north.mirror.state().verified == 2
    assert north.why_not() is None


def test_what_the_hub_refuses_is_kept_and_holds_up_no_other(hub: LyingHub) -> None:
    north = hub.nodes["north"]
    of_no_manifest = Purge(
        origin="north", at=hub.time, reason="erasure-asked", people=Count(about=None), manifests=(0,)
    )
    with north.database.writing() as session:
        north.entries.later(session, of_no_manifest)
        north.entries.later(session, looked_up(hub))
    assert north.entries.submit_waiting(north.database) == 1
    assert kept(north) == [(None, "reference-kind"), (1, None)]


def test_a_refusal_that_is_about_something_else_loses_no_entry(hub: LyingHub) -> None:
    north = hub.nodes["north"]
    with north.database.writing() as session:
        north.entries.later(session, looked_up(hub))

    def expired(_message: Message, _reply: Reply) -> Reply:
        raise HubRefused("a test", code="certificate-expired")

    honest, north.lie = north.lie, expired
    with pytest.raises(HubRefused):
        north.entries.submit_waiting(north.database)
    with north.database.reading() as session:
        assert north.entries.standing(session) == (1, {})
    north.lie = honest
    assert north.entries.submit_waiting(north.database) == 1
    assert kept(north) == [(1, None)]


def test_a_ledger_that_has_entries_is_founded_no_more(hub: LyingHub) -> None:
    with pytest.raises(EntryRefused), hub.shown["north"].writing() as session:
        found_ledger(session, hub.log, faults=1, at=hub.time)
    empty = hub.ledger()
    with empty.writing() as session:
        found_ledger(session, hub.log, faults=1, at=hub.time)
    assert hub.size(empty) == 1
