"""A lying hub is caught at the mirror, and a witness never signs two trees."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.unit.ledger.federation import NOON, ORIGIN, PROJECT, Federation, Site, rooted

from wardround.contracts.ledger_entry import Approval
from wardround.ledger import mirror as mirror_module
from wardround.ledger import tables
from wardround.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from wardround.ledger.cosignature import check_cosignature
from wardround.ledger.envelope import sign_entry
from wardround.ledger.mirror import Mirror
from wardround.ledger.note import NoteRefused, SignatureType, Signer
from wardround.ledger.tree import leaf_hash
from wardround.ledger.trust import LedgerForked, MirrorRefused, MirrorState

Found = Callable[..., Federation]


def five(found: Found) -> tuple[Federation, Site]:
    """Two members and three approvals: five entries, of which the first site has mirrored and cosigned three."""
    federation = found("north", "south")
    north, south = federation.sites
    federation.append(north.approval())
    assert federation.offer(north) is not None
    federation.append(north.approval("second"), south.approval())
    return federation, north


def signed(federation: Federation, entries: list[bytes]) -> str:
    """A checkpoint of the hub's key over whatever entries the hub likes."""
    root = rooted([leaf_hash(data) for data in entries])
    return sign_checkpoint(Checkpoint(ORIGIN, len(entries), root), Signer(ORIGIN, SignatureType.NOTE, federation.key))


def forked(site: Site, start: int, entries: list[bytes], note: str) -> str:
    """The code with which the mirror stops; it must stay stopped, whatever it is then offered."""
    with pytest.raises(LedgerForked) as stopped:
        site.mirror.take(start, entries, note, NOON)
    with pytest.raises(LedgerForked):
        site.mirror.take(3, [], note, NOON)
    state = site.mirror.state()
    assert (state.received, state.verified) == (3, 3)
    assert state.forked == stopped.value.code
    with site.database.reading() as tx:
        assert tx.execute(select(tables.head.c.forked_note)).scalar() == note
    return stopped.value.code


def test_an_honest_hub_is_followed_and_cosigned(found: Found) -> None:
    federation, north = five(found)
    line = federation.offer(north)
    assert line is not None
    checkpoint = open_checkpoint(federation.checkpoint(), federation.log.verifier)
    check_cosignature(line, checkpoint, Signer("north", SignatureType.COSIGNATURE, north.witness_key).verifier)
    assert north.mirror.state() == MirrorState(5, 5)


def test_a_dropped_entry_is_caught(found: Found) -> None:
    federation, north = five(found)
    entries = federation.entries(0, 5)
    del entries[1]
    assert forked(north, 3, entries[3:], signed(federation, entries)) == "entries-differ"


def test_an_edited_entry_under_an_honest_checkpoint_is_caught(found: Found) -> None:
    federation, north = five(found)
    entries = federation.entries(3, 5)
    entries[0] = north.approval("edited")
    assert forked(north, 3, entries, federation.checkpoint()) == "entries-differ"


def test_reordered_entries_are_caught(found: Found) -> None:
    federation, north = five(found)
    entries = federation.entries(3, 5)[::-1]
    assert forked(north, 3, entries, federation.checkpoint()) == "entries-differ"


def test_an_entry_that_the_hub_made_up_is_caught(found: Found) -> None:
    federation, north = five(found)
    made_up = sign_entry(
        Approval(origin="south", at=NOON, project="glioma", project_digest=PROJECT), federation.key, ORIGIN
    )
    entries = [*federation.entries(0, 5), made_up]
    assert forked(north, 3, entries[3:], signed(federation, entries)) == "entry-forged"


def test_an_entry_that_is_no_entry_is_caught(found: Found) -> None:
    federation, north = five(found)
    entries = [*federation.entries(0, 3), b"scribble"]
    assert forked(north, 3, entries[3:], signed(federation, entries)) == "entry-forged"


def test_a_rewritten_past_is_caught(found: Found) -> None:
    federation, north = five(found)
    entries = federation.entries(0, 5)
    entries[2] = north.approval("another-past")
    assert forked(north, 3, entries[3:], signed(federation, entries)) == "entries-differ"


def test_a_smaller_tree_with_another_root_is_caught(found: Found) -> None:
    federation, north = five(found)
    entries = federation.entries(0, 2)[::-1]
    assert forked(north, 3, [], signed(federation, entries)) == "history-changed"


def test_two_trees_of_one_size_are_caught(found: Found) -> None:
    federation, north = five(found)
    entries = [*federation.entries(0, 2), north.approval("other")]
    assert forked(north, 3, [], signed(federation, entries)) == "two-roots"


def test_two_sites_shown_two_trees_find_out_when_they_compare(found: Found) -> None:
    """The hub keeps two ledgers, each whole in itself. Neither gets a quorum; one exchanged note shows the lie."""
    federation = found("north", "south")
    north, south = federation.sites
    second = federation.another_hub()
    with second.database.writing() as tx:
        second.log.append_many(tx, federation.entries(0, 2))
    federation.append(north.approval())
    second.append(south.approval())
    assert federation.offer(north) is not None
    assert second.offer(south) is not None
    for hub in (federation, second):
        with hub.database.reading() as tx:
            assert hub.log.settled(tx) == 0
    with pytest.raises(LedgerForked) as stopped:
        south.mirror.observe(federation.checkpoint(), NOON)
    assert stopped.value.code == "two-roots"
    with pytest.raises(LedgerForked):
        second.append(south.approval("more"))
        second.offer(south)


def test_a_larger_tree_heard_of_elsewhere_is_compared_once_the_entries_reach_it(found: Found) -> None:
    federation, north = five(found)
    elsewhere = [*federation.entries(0, 4), federation.sites[1].approval("other")]
    north.mirror.observe(signed(federation, elsewhere), NOON)
    federation.append(north.approval("sixth"))
    assert forked(north, 3, federation.entries(3, 6), federation.checkpoint()) == "entries-differ"


def test_a_tree_heard_of_elsewhere_is_compared_with_entries_not_yet_vouched_for(found: Found) -> None:
    federation, north = five(found)
    note = federation.checkpoint()
    assert north.mirror.take(3, federation.entries(3, 4), note, NOON) is None
    elsewhere = signed(federation, [*federation.entries(0, 3), north.approval("other")])
    with pytest.raises(LedgerForked):
        north.mirror.observe(elsewhere, NOON)


def test_a_note_that_the_hub_did_not_sign_changes_nothing(found: Found) -> None:
    federation, north = five(found)
    stranger = Signer(ORIGIN, SignatureType.NOTE, Ed25519PrivateKey.generate())
    note = sign_checkpoint(Checkpoint(ORIGIN, 3, b"\x00" * 32), stranger)
    for call in (lambda: north.mirror.take(3, [], note, NOON), lambda: north.mirror.observe(note, NOON)):
        with pytest.raises(NoteRefused):
            call()
    assert north.mirror.state().forked is None
    assert federation.offer(north) is not None


def test_a_checkpoint_out_of_date_is_refused_without_alarm(found: Found) -> None:
    federation, north = five(found)
    old = federation.checkpoint()
    federation.append(north.approval("sixth"))
    assert federation.offer(north) is not None
    with pytest.raises(MirrorRefused) as refused:
        north.mirror.take(6, [], old, NOON)
    assert refused.value.code == "stale"
    assert north.mirror.state() == MirrorState(6, 6)


def test_entries_that_were_not_asked_for_are_refused_without_alarm(found: Found) -> None:
    federation, north = five(found)
    note = federation.checkpoint()
    for start, entries, code in (
        (2, federation.entries(2, 5), "wrong-start"),
        (4, federation.entries(4, 5), "wrong-start"),
        (3, [*federation.entries(3, 5), north.approval("sixth")], "beyond-checkpoint"),
    ):
        with pytest.raises(MirrorRefused) as refused:
            north.mirror.take(start, entries, note, NOON)
        assert refused.value.code == code
    assert north.mirror.state() == MirrorState(3, 3)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 24), max_size=5))
def test_however_the_entries_are_cut_into_batches_the_mirror_signs_once_they_are_whole(
    found: Found, tmp_path: Path, cuts: list[int]
) -> None:
    for used in tmp_path.iterdir():
        used.unlink()
    federation = found("north")
    north = federation.sites[0]
    federation.append(*(north.approval(f"project-{number}") for number in range(23)))
    note, line = federation.checkpoint(), None
    bounds = [0, *sorted(cuts), 24]
    for start, end in pairwise(bounds):
        line = north.mirror.take(start, federation.entries(start, end), note, NOON)
        assert (line is not None) == (end == 24)
    assert line is not None
    assert north.mirror.state() == MirrorState(24, 24)


def test_an_entry_is_found_once_it_was_checked(found: Found) -> None:
    federation, north = five(found)
    note, entries = federation.checkpoint(), federation.entries(3, 5)
    north.mirror.take(3, entries[:1], note, NOON)
    assert north.mirror.index_of(entries[0]) is None
    north.mirror.take(4, entries[1:], note, NOON)
    assert [north.mirror.index_of(data) for data in entries] == [3, 4]
    assert north.mirror.index_of(north.approval("not-sent")) is None


def test_killed_after_persisting_and_before_signing_it_signs_the_same_tree(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, north = five(found)
    note = federation.checkpoint()

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mirror_module, "cosign", killed)
        with pytest.raises(KeyboardInterrupt):
            north.mirror.take(3, federation.entries(3, 5), note, NOON)
    _, restarted = federation.mirror("north", north.witness_key, federation.folder / "north.db")
    assert restarted.state() == MirrorState(5, 5)
    line = restarted.take(5, [], note, NOON)
    assert line is not None
    check_cosignature(
        line,
        open_checkpoint(note, federation.log.verifier),
        Signer("north", SignatureType.COSIGNATURE, north.witness_key).verifier,
    )
    other = [*federation.entries(0, 4), federation.sites[1].approval("other")]
    with pytest.raises(LedgerForked):
        restarted.take(5, [], signed(federation, other), NOON)


def test_killed_before_persisting_it_has_signed_nothing(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, north = five(found)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mirror, "_learn_cosignatures", killed)
    with pytest.raises(KeyboardInterrupt):
        north.mirror.take(3, federation.entries(3, 5), federation.checkpoint(), NOON)
    assert north.mirror.state() == MirrorState(3, 3)
    with north.database.reading() as tx:
        assert tx.execute(select(tables.cosignatures.c.size)).scalars().all() == [3]


def test_signing_again_gives_the_line_that_was_given_before(found: Found) -> None:
    federation, north = five(found)
    line = federation.offer(north)
    assert north.mirror.take(5, [], federation.checkpoint(), NOON + timedelta(hours=1)) == line


def _restored(federation: Federation, north: Site) -> Mirror:
    """The first site's mirror as it was at three entries, after it had cosigned six."""
    federation.append(north.approval("sixth"))
    north.database.close()
    shutil.copy(federation.folder / "north.db", federation.folder / "backup.db")
    line = federation.offer(north)
    assert line is not None
    with federation.database.writing() as tx:
        federation.log.add_cosignature(tx, 6, line)
    _, mirror = federation.mirror("north", north.witness_key, federation.folder / "backup.db")
    assert mirror.state() == MirrorState(3, 3)
    return mirror


def test_a_witness_restored_from_a_backup_goes_back_to_the_tree_that_it_had_signed(found: Found) -> None:
    federation, north = five(found)
    mirror = _restored(federation, north)
    with federation.database.reading() as tx:
        note = federation.log.cosigned_note(tx, 6)
    mirror.observe(note, NOON)
    assert mirror.take(3, federation.entries(3, 6), note, NOON + timedelta(days=1)) in note


def test_a_restored_witness_signs_no_other_tree_than_the_one_that_its_own_line_is_on(found: Found) -> None:
    federation, north = five(found)
    mirror = _restored(federation, north)
    with federation.database.reading() as tx:
        mirror.observe(federation.log.cosigned_note(tx, 6), NOON)
    other = [*federation.entries(0, 3), *(federation.sites[1].approval(f"other-{n}") for n in range(4))]
    with pytest.raises(MirrorRefused) as refused:
        mirror.take(3, other[3:5], signed(federation, other[:5]), NOON)
    assert refused.value.code == "stale"
    for size in (6, 7):
        _, copy = federation.mirror("north", north.witness_key, federation.folder / "backup.db")
        with pytest.raises(LedgerForked):
            copy.take(3, other[3:size], signed(federation, other[:size]), NOON)


def test_a_person_lets_a_mirror_go_on_from_what_it_had_verified(found: Found) -> None:
    federation, north = five(found)
    note = federation.checkpoint()
    assert north.mirror.take(3, [north.approval("wrong")], note, NOON) is None
    with pytest.raises(LedgerForked):
        north.mirror.take(4, federation.entries(4, 5), note, NOON)
    assert north.mirror.state() == MirrorState(4, 3, "entries-differ", 5)
    north.mirror.resume("j.doe", NOON)
    assert north.mirror.state() == MirrorState(3, 3)
    assert federation.offer(north) is not None


def test_a_person_cannot_make_a_mirror_forget_that_the_hub_signed_two_trees(found: Found) -> None:
    federation, north = five(found)
    lie = [*federation.entries(0, 4), north.approval("lie")]
    assert federation.offer(north) is not None
    for _ in range(2):
        with pytest.raises(LedgerForked) as stopped:
            north.mirror.take(5, [], signed(federation, lie), NOON)
        assert stopped.value.code == "two-roots"
        north.mirror.resume("j.doe", NOON)
    assert federation.offer(north) is not None


def test_a_site_acts_only_on_what_it_checked_and_a_quorum_cosigned(found: Found) -> None:
    federation = found("north", "south", "west")
    assert federation.sites[0].mirror.settled() == 0
    line = federation.offer(federation.sites[0])
    assert line is not None
    assert federation.sites[0].mirror.settled() == 0
    note = federation.round_of_witnesses()
    assert [site.mirror.settled() for site in federation.sites] == [3, 3, 3]
    _, late = federation.mirror("late", Ed25519PrivateKey.generate(), federation.folder / "late.db")
    late.observe(note, NOON)
    assert late.settled() == 0
    late.take(0, federation.entries(0, 3), note, NOON)
    assert late.settled() == 3


def test_the_line_of_a_mirror_that_is_no_member_makes_no_quorum(found: Found) -> None:
    federation = found("north", "south")
    line = federation.offer(federation.sites[0])
    assert line is not None
    with federation.database.writing() as tx:
        federation.log.add_cosignature(tx, 2, line)
        note = federation.log.cosigned_note(tx, 2)
    _, outsider = federation.mirror("east", Ed25519PrivateKey.generate(), federation.folder / "east.db")
    assert outsider.take(0, federation.entries(0, 2), note, NOON) is not None
    assert outsider.settled() == 0
