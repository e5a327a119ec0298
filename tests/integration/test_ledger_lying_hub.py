"""A hub that drops, edits, reorders or forks entries, or shows two ledgers: each node notices by itself and stops."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.integration.lying_hub import LyingHub, Node, with_entries

from wardround.contracts.outbound import EntryAccepted, Message, Reply
from wardround.foundation.errors import WardroundError
from wardround.ledger import tables
from wardround.node.audit import Audit
from wardround.node.record import actions


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LyingHub]:
    hub = LyingHub(tmp_path, "north", "south")
    hub.publish()
    hub.nodes["north"].put("before")
    hub.publish()
    yield hub
    hub.close()


def reasons(hub: LyingHub) -> dict[str, str | None]:
    return {site: node.why_not() for site, node in hub.nodes.items()}


def test_an_honest_hub_is_trusted_and_settles_what_everyone_saw(hub: LyingHub) -> None:
    assert reasons(hub) == {"north": None, "south": None}
    assert [node.mirror.settled() for node in hub.nodes.values()] == [3, 3]
    hub.later(days=30)
    assert reasons(hub) == {"north": None, "south": None}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entries: [entries[0], entries[0]], "entries-differ"),
        (lambda entries: entries[::-1], "entries-differ"),
        (lambda entries: [entries[0].replace("first", "third"), *entries[1:]], "entry-forged"),
    ],
    ids=["dropped", "reordered", "edited"],
)
def test_entries_that_were_tampered_with_on_the_way_stop_the_node(
    hub: LyingHub, change: Callable[[list[str]], list[str]], reason: str
) -> None:
    south = hub.nodes["south"]
    south.lie = with_entries(lambda entries: change(entries) if len(entries) == 2 else entries)
    hub.nodes["north"].put("first")
    hub.nodes["north"].put("second")
    hub.publish()
    assert reasons(hub) == {"north": None, "south": reason}


def test_a_history_that_was_rewritten_stops_every_node_that_had_it(hub: LyingHub) -> None:
    honest = hub.shown["north"]
    rewritten = hub.ledger(honest, 2)
    for site in hub.nodes:
        hub.shown[site] = rewritten
    with rewritten.writing() as tx:
        hub.log.record(tx, hub.nodes["south"].member())
    hub.publish()
    assert reasons(hub) == {"north": "two-roots", "south": "two-roots"}


def test_an_entry_that_the_hub_took_and_left_out_stops_the_node_whose_it_was(hub: LyingHub) -> None:
    north = hub.nodes["north"]

    def swallow(message: Message, reply: Reply) -> Reply:
        return EntryAccepted(index=reply.index + 1) if isinstance(reply, EntryAccepted) else reply

    honest, north.lie = north.lie, swallow
    north.put("taken")
    north.lie = honest
    hub.nodes["south"].put("other")
    hub.publish()
    assert reasons(hub) == {"north": "entry-dropped", "south": None}
    actions.trust(north.database, north.mirror, "the hub lost its disk", actor="person:it")
    hub.publish()
    assert reasons(hub) == {"north": None, "south": None}


def test_an_entry_that_never_shows_is_missed_after_a_while(hub: LyingHub) -> None:
    north = hub.nodes["north"]
    hidden = hub.ledger(hub.shown["north"], 3)
    shown, hub.shown["north"] = hub.shown["north"], hidden
    north.put("hidden")
    hub.shown["north"] = shown
    hub.publish()
    assert north.why_not() is None
    hub.later(hours=2)
    assert reasons(hub) == {"north": "entry-overdue", "south": None}
    hub.copy(hidden, shown, 3, 4)
    hub.publish()
    assert reasons(hub) == {"north": None, "south": None}


def split(hub: LyingHub) -> None:
    """From size 3 on, north is shown one ledger and south another; each is consistent in itself."""
    hub.shown["south"] = hub.ledger(hub.shown["north"], 3)
    with hub.shown["south"].writing() as tx:
        hub.log.checkpoint(tx, hub.time)
    hub.nodes["north"].put("for-north")
    hub.nodes["south"].put("for-south")
    hub.publish()


def test_of_two_ledgers_neither_is_settled_and_after_a_while_both_nodes_stop(hub: LyingHub) -> None:
    split(hub)
    assert [node.mirror.settled() for node in hub.nodes.values()] == [3, 3]
    hub.later(hours=2)
    assert reasons(hub) == {"north": "quorum-missing", "south": "quorum-missing"}


def test_an_entry_that_crosses_over_tells_what_its_origin_was_shown(hub: LyingHub) -> None:
    """The hub can't keep a site's entries from the other for ever: a run needs the updates of both."""
    split(hub)
    north, south = hub.nodes.values()
    north.put("after-the-split")
    south.put("after-the-split")
    ours, theirs = hub.shown["north"], hub.shown["south"]
    hub.copy(ours, theirs, hub.size(ours) - 1, hub.size(ours))
    hub.copy(theirs, ours, hub.size(theirs) - 2, hub.size(theirs) - 1)
    hub.publish()
    assert reasons(hub) == {"north": "views-differ", "south": "views-differ"}
    assert "north says in entry" in (south.mirror.state().message or "")
    assert "south says in entry" in (north.mirror.state().message or "")


def test_checkpoints_that_two_hospitals_hand_each_other_show_it_at_once(hub: LyingHub) -> None:
    split(hub)
    north, south = hub.nodes.values()
    for one, other in ((north, south), (south, north)):
        with other.database.reading() as tx:
            note = tx.execute(select(tables.checkpoints.c.note).order_by(tables.checkpoints.c.size.desc())).scalar()
        with pytest.raises(WardroundError) as stopped:
            one.mirror.observe(str(note), hub.time)
        assert stopped.value.code == "two-roots"
    assert reasons(hub) == {"north": "two-roots", "south": "two-roots"}


def test_an_honest_hub_lets_no_site_accuse_it(hub: LyingHub) -> None:
    """An entry that says something else of the ledger never gets in, so that one site can't stop the others."""
    from wardround.contracts.ledger_entry import Approval, Seen
    from wardround.node.gateway.errors import HubRefused

    north = hub.nodes["north"]
    for seen in (Seen(size=2, root="0" * 64), Seen(size=400, root="0" * 64)):
        accusation = Approval(origin="north", at=hub.time, project="lie", project_digest="0" * 64, seen=seen)
        with pytest.raises(HubRefused) as refused:
            north.entries.put(accusation)
        assert refused.value.code == "other-history"
    hub.publish()
    assert reasons(hub) == {"north": None, "south": None}


def test_a_stopped_node_stays_so_over_a_restart_until_a_person_acts(hub: LyingHub) -> None:
    split(hub)
    south: Node = hub.nodes["south"]
    # It had checked another tree of that size.
    hub.shown["south"] = hub.shown["north"]
    south.catch_up()
    assert south.why_not() == "two-roots"
    south.restart()
    assert south.why_not() == "two-roots"
    assert south.mirror.state().message
    assert actions.trust(south.database, south.mirror, "the hub's operator was asked", actor="person:it") is not None
    assert south.why_not() is None
    with south.database.reading() as session:
        row = session.scalars(select(Audit).where(Audit.verb == "trust-ledger")).one()
    assert row.actor == "person:it"
    assert "two trees" in row.detail
    south.catch_up()
    assert south.why_not() == "two-roots"


def test_a_person_may_stop_a_node_for_reasons_of_their_own(hub: LyingHub) -> None:
    north = hub.nodes["north"]
    actions.distrust(north.database, north.mirror, "south telephoned", actor="person:it")
    north.restart()
    assert north.why_not() == "distrusted"
    north.catch_up()
    assert north.trouble == "distrusted"
    assert actions.trust(north.database, north.mirror, "settled", actor="person:it") == "person:it: south telephoned"
    north.catch_up()
    assert north.why_not() is None


def test_a_witness_put_back_from_an_old_backup_says_so_and_signs_nothing_before_it_caught_up(
    hub: LyingHub, caplog: pytest.LogCaptureFixture
) -> None:
    north = hub.nodes["north"]
    backup = hub.folder / "backup.db"
    with closing(sqlite3.connect(north.path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    north.put("one")
    north.put("two")
    hub.publish()
    signed = north.mirror.state().verified
    hub.nodes["south"].put("three")

    north.path = backup
    north.restart()
    assert north.mirror.state().verified == 3
    honest, north.lie = north.lie, with_entries(lambda entries: [])
    north.catch_up()
    assert north.trouble == "withheld"
    assert north.mirror.state().restored == signed
    assert north.why_not() == "restored"
    assert "was a backup put back" in caplog.text

    north.lie = honest
    hub.publish()
    assert north.mirror.state().restored is None
    assert "caught up" in caplog.text
    assert reasons(hub) == {"north": None, "south": None}
    assert north.mirror.settled() == hub.size(hub.shown["north"])


def test_a_node_asks_by_itself_and_a_stopped_one_asks_no_more(hub: LyingHub) -> None:
    """A hub that asks no more, or one whose question was lost with a restart, keeps nothing from a node."""
    north = hub.nodes["north"]
    hub.nodes["south"].put("unannounced")
    with hub.shown["north"].writing() as tx:
        hub.log.checkpoint(tx, hub.time)
    north.witness.tick()
    assert north.mirror.state().verified == 4
    asked = []
    north.lie = lambda message, reply: asked.append(message) or reply
    north.mirror.distrust("person:it", "a test", hub.time)
    north.witness.tick()
    assert asked == []
    actions.trust(north.database, north.mirror, "a test", actor="person:it")
    north.lie = with_entries(lambda entries: entries[::-1])
    hub.nodes["south"].put("one")
    hub.nodes["south"].put("two")
    hub.publish()
    north.witness.tick()
    assert north.why_not() == "entries-differ"
