"""A site that was taken out counts no more, and no hub makes a smaller quorum of that unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.unit.ledger.federation import NOON, Federation

from wardround.contracts.ledger_entry import HUB, Departure, Founding
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.cosignature import cosign
from wardround.ledger.keys import keys_at
from wardround.ledger.members import EntryRefused
from wardround.ledger.note import NoteRefused, SignatureType, Signer
from wardround.ledger.trust import LedgerForked, LedgerUntrusted
from wardround.ledger.verification import verify

Found = Callable[..., Federation]


def out(federation: Federation, site: str) -> int:
    return federation.record(Departure(origin=HUB, at=NOON, site=site, reason="revoked"))


def test_whoever_was_taken_out_writes_and_witnesses_nothing_and_what_it_wrote_before_holds(found: Found) -> None:
    federation = found("north", "south", "west")
    west = federation.sites[2]
    federation.append(west.approval())
    federation.round_of_witnesses()
    out(federation, "west")
    with pytest.raises(EntryRefused) as refused:
        federation.append(west.approval("another"))
    assert refused.value.code == "unknown-origin"
    checkpoint = open_checkpoint(federation.checkpoint(), federation.log.verifier)
    line = cosign(checkpoint, Signer("west", SignatureType.COSIGNATURE, west.witness_key), NOON)
    with federation.database.writing() as tx, pytest.raises(NoteRefused) as stranger:
        federation.log.add_cosignature(tx, checkpoint.size, line)
    assert stranger.value.code == "unsigned"
    assert federation.cosigned_by(*federation.sites[:2]) == 5
    with federation.database.reading() as tx:
        assert verify(tx, federation.log.vkey).problems == ()
        keys = keys_at(tx, federation.log.verifier, 5)
    assert [witness.name for witness in keys.witnesses] == ["north", "south"]
    assert keys.quorum == 2


def test_every_node_says_who_was_taken_out(found: Found, caplog: pytest.LogCaptureFixture) -> None:
    federation = found("north", "south", "west")
    federation.round_of_witnesses()
    out(federation, "west")
    with caplog.at_level("WARNING"):
        federation.cosigned_by(*federation.sites[:2])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and all("the hub takes west out (revoked)" in line for line in said)


def test_only_a_member_leaves_and_only_the_hub_says_so(found: Found) -> None:
    federation = found("north", "south")
    with pytest.raises(EntryRefused) as stranger:
        out(federation, "west")
    assert stranger.value.code == "bad-member"
    out(federation, "south")
    with pytest.raises(EntryRefused):
        out(federation, "south")
    north = federation.sites[0]
    with pytest.raises(EntryRefused) as usurped:
        federation.append(north.sign(Departure(origin="north", at=NOON, site="north", reason="left")))
    assert usurped.value.code == "wrong-origin"


def test_a_site_that_was_taken_out_may_be_announced_anew(found: Found) -> None:
    federation = found("north", "south", "west")
    federation.round_of_witnesses()
    out(federation, "west")
    assert federation.cosigned_by(*federation.sites[:2]) == 4
    federation.record(federation.sites[2].member())
    assert federation.cosigned_by(*federation.sites[:2]) == 5
    federation.append(federation.sites[2].approval())
    assert federation.cosigned_by(*federation.sites[1:]) == 6


@pytest.mark.parametrize(("faults", "before", "after"), [(0, 3, 2), (1, 3, 3)])
def test_a_departure_takes_a_quorum_of_those_before_it_and_what_follows_one_of_those_left(
    found: Found, faults: int, before: int, after: int
) -> None:
    federation = found()
    federation.record(Founding(origin=HUB, at=NOON, faults=faults))
    for name in ("north", "south", "west", "east"):
        federation.join(name)
    federation.round_of_witnesses()
    out(federation, "east")
    left = federation.sites[:3]
    assert federation.cosigned_by(*left[: before - 1]) == 5, "two of four are no quorum, though they'd be one of three"
    assert federation.cosigned_by(*left) == 6
    federation.append(left[0].approval())
    assert federation.cosigned_by(*left[: after - 1]) == 6
    assert federation.cosigned_by(*left[:after]) == 7


def test_several_that_leave_at_once_are_all_counted_until_that_is_settled(found: Found) -> None:
    federation = found("a1", "b2", "c3", "d4", "e5")
    federation.round_of_witnesses()
    for site in ("d4", "e5"):
        out(federation, site)
    assert federation.cosigned_by(*federation.sites[:2]) == 5
    assert federation.cosigned_by(*federation.sites[:3]) == 7
    federation.append(federation.sites[0].approval())
    assert federation.cosigned_by(*federation.sites[:2]) == 8, "two of the three that are left"


def test_a_second_ledger_on_which_half_the_federation_left_is_settled_for_nobody(found: Found) -> None:
    """To two hospitals the hub shows one ledger, to the others one on which those two are gone, and two would do."""
    federation = found("north", "south", "west", "east")
    federation.round_of_witnesses()
    lie = federation.another_hub()
    with lie.database.writing() as tx:
        lie.log.append_many(tx, federation.entries(0, 4))
    federation.append(federation.sites[0].approval())
    for site in ("north", "south"):
        out(lie, site)
    shown, hidden = federation.sites[2:], federation.sites[:2]
    assert federation.cosigned_by(*hidden) == 4

    for site in shown:
        size, note = lie.size(), lie.checkpoint()
        line = site.mirror.take(site.mirror.state().received, lie.entries(4, size), note, lie.tick())
        assert line is not None
        with lie.database.writing() as tx:
            lie.log.add_cosignature(tx, size, line)
    with lie.database.reading() as tx:
        note = lie.log.cosigned_note(tx, lie.size())
    for site in shown:
        site.mirror.observe(note, lie.tick())
        assert site.mirror.settled() == 4, "it takes three of the four whom it knew before"
    late = lie.now + timedelta(hours=2)
    for site in federation.sites:
        with pytest.raises(LedgerUntrusted) as untrusted:
            site.mirror.check_trusted(late)
        assert untrusted.value.reason == "quorum-missing"
    with pytest.raises(LedgerForked):
        hidden[0].mirror.take(5, lie.entries(5, 6), note, late)
