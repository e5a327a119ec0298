"""The hub's log: who may write what, and that writers wait for each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.unit.ledger.federation import NOON, ORIGIN, PROJECT, Federation, Site, rooted

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import HUB, Aggregate, Approval, Founding, Manifest, Update, Withdrawal
from wardround.foundation.errors import NotFound
from wardround.ledger import store
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.cosignature import cosign
from wardround.ledger.envelope import sign_entry
from wardround.ledger.members import EntryRefused
from wardround.ledger.note import NoteRefused, SignatureType, Signer
from wardround.ledger.proof import verify_consistency, verify_inclusion
from wardround.ledger.tree import leaf_hash
from wardround.ledger.verification import verify

Found = Callable[..., Federation]


def refusal(federation: Federation, *data: bytes) -> str:
    before = federation.size()
    with pytest.raises(EntryRefused) as refused:
        federation.append(*data)
    assert federation.size() == before
    return refused.value.code


def test_an_entry_keeps_its_index_however_often_it_comes(found: Found) -> None:
    federation = found("north")
    first, second = federation.sites[0].approval("one"), federation.sites[0].approval("two")
    assert federation.append(first) == [1]
    assert federation.append(second, first, second) == [2, 1, 2]
    assert federation.size() == 3
    assert federation.entries(1, 3) == [first, second]


def test_entries_that_share_a_lookup_key_are_told_apart(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "lookup_key", lambda _at, _leaf: 7)
    federation = found("north")
    one, two = federation.sites[0].approval("one"), federation.sites[0].approval("two")
    assert federation.append(one) == [1]
    assert federation.append(two, one) == [2, 1]


def test_a_stranger_writes_nothing(found: Found) -> None:
    federation = found("north")
    stranger = Ed25519PrivateKey.generate()
    entry = Approval(origin="south", at=NOON, project="glioma", project_digest=PROJECT)
    assert refusal(federation, sign_entry(entry, stranger, ORIGIN)) == "unknown-origin"


def test_nobody_writes_for_another_site_the_hub_included(found: Found) -> None:
    federation = found("north", "south")
    entry = Approval(origin="north", at=NOON, project="glioma", project_digest=PROJECT)
    for key in (federation.key, federation.sites[1].entry_key, federation.sites[0].witness_key):
        assert refusal(federation, sign_entry(entry, key, ORIGIN)) == "bad-signature"


def test_an_entry_signed_for_another_ledger_is_refused(found: Found) -> None:
    federation = found("north")
    entry = Approval(origin="north", at=NOON, project="glioma", project_digest=PROJECT)
    data = sign_entry(entry, federation.sites[0].entry_key, "other.example.org/ledger")
    assert refusal(federation, data) == "bad-signature"


def test_an_edited_entry_is_refused(found: Found) -> None:
    federation = found("north")
    document = json.loads(federation.sites[0].approval())
    document["entry"]["project"] = "other"
    assert refusal(federation, rfc8785.dumps(document)) == "bad-signature"


def test_a_site_cannot_enrol_sites_and_the_hub_cannot_approve(found: Found) -> None:
    federation = found("north")
    site = federation.sites[0]
    assert refusal(federation, site.sign(site.member().model_copy(update={"origin": "north"}))) == "wrong-origin"
    entry = Approval(origin=HUB, at=NOON, project="glioma", project_digest=PROJECT)
    assert refusal(federation, sign_entry(entry, federation.key, ORIGIN)) == "wrong-origin"


def test_a_witness_key_must_be_a_cosignature_key_of_the_sites_name(found: Found) -> None:
    federation = found("north")
    member = federation.sites[0].member()
    for wrong in (federation.log.vkey, member.witness.replace("north", "south"), federation.log.vkey[:-2]):
        with pytest.raises(EntryRefused) as refused:
            federation.record(member.model_copy(update={"witness": wrong}))
        assert refused.value.code == "bad-member"


def test_a_new_key_of_a_site_replaces_the_old_one(found: Found) -> None:
    federation = found("north")
    site = federation.sites[0]
    old, site.entry_key = site.entry_key, Ed25519PrivateKey.generate()
    federation.record(site.member())
    entry = Approval(origin="north", at=NOON, project="glioma", project_digest=PROJECT)
    assert refusal(federation, sign_entry(entry, old, ORIGIN)) == "bad-signature"
    federation.append(site.sign(entry))


def test_an_offer_that_was_proven_by_a_key_since_replaced_is_refused(found: Found) -> None:
    federation = found("north")
    site = federation.sites[0]
    offer = federation.log.offer([site.approval()])
    assert offer.proven, "by the key of then"
    site.entry_key = Ed25519PrivateKey.generate()
    federation.record(site.member())
    with pytest.raises(EntryRefused) as refused, federation.database.writing() as tx:
        federation.log.take(tx, offer)
    assert refused.value.code == "bad-signature"
    assert federation.size() == 2


def test_an_offer_by_the_key_of_an_announcement_that_was_rolled_back_is_refused(found: Found) -> None:
    federation = found("north")
    site = federation.sites[0]
    good, site.entry_key = site.approval(), Ed25519PrivateKey.generate()
    with pytest.raises(RuntimeError), federation.database.writing() as tx:
        federation.log.record(tx, site.member())
        raise RuntimeError
    for taken, data in ((False, site.approval()), (True, good)):
        offer = federation.log.offer([data])
        with federation.database.writing() as tx:
            if taken:
                assert federation.log.take(tx, offer) == [1]
            else:
                with pytest.raises(EntryRefused, match="isn't signed by the key"):
                    federation.log.take(tx, offer)


def test_entries_must_fit_those_that_they_name(found: Found) -> None:
    federation = found("north", "south")
    north, south = federation.sites
    [approved] = federation.append(north.approval("glioma"))

    def manifest(origin: str, project: str, approval: int) -> Manifest:
        return Manifest(
            origin=origin, at=NOON, project=project, approval=approval, people=Count(about=20), commitment=PROJECT
        )

    assert refusal(federation, north.sign(manifest("north", "glioma", 99))) == "reference-missing"
    assert refusal(federation, north.sign(manifest("north", "glioma", 0))) == "reference-kind"
    assert refusal(federation, north.sign(manifest("north", "stroke", approved))) == "reference-mismatch"
    assert refusal(federation, south.sign(manifest("south", "glioma", approved))) == "reference-mismatch"
    taken_back = Withdrawal(origin="south", at=NOON, project="glioma", approval=approved, reason="opt-out")
    assert refusal(federation, south.sign(taken_back)) == "reference-mismatch"
    [frozen] = federation.append(north.sign(manifest("north", "glioma", approved)))

    def update(origin: str, number: int) -> Update:
        return Update(origin=origin, at=NOON, run="run-1", round=number, digest=PROJECT, manifest=frozen, steps=9)

    assert refusal(federation, south.sign(update("south", 1))) == "reference-mismatch"
    one, two, again = federation.append(
        north.sign(update("north", 1)), north.sign(update("north", 2)), north.sign(update("north", 1))
    )
    for updates in ((one, two), (one, again)):
        entry = Aggregate(origin=HUB, at=NOON, run="run-1", round=1, digest=PROJECT, updates=updates)
        assert refusal(federation, sign_entry(entry, federation.key, ORIGIN)) == "reference-mismatch"
    federation.record(Aggregate(origin=HUB, at=NOON, run="run-1", round=1, digest=PROJECT, updates=(one,)))


def test_a_batch_may_name_its_own_earlier_entries_and_is_taken_whole_or_not_at_all(found: Found) -> None:
    federation = found("north")
    north = federation.sites[0]
    manifest = Manifest(
        origin="north", at=NOON, project="glioma", approval=1, people=Count(about=None), commitment=PROJECT
    )
    assert refusal(federation, north.sign(manifest), north.approval()) == "reference-missing"
    assert federation.append(north.approval(), north.sign(manifest)) == [1, 2]


def test_a_checkpoint_is_new_only_when_the_log_grew(found: Found) -> None:
    federation = found()
    with federation.database.writing() as tx:
        assert federation.log.checkpoint(tx, NOON) is None
        assert federation.log.published(tx) is None
    federation.join("north")
    note = federation.checkpoint()
    assert federation.checkpoint() == note
    federation.append(federation.sites[0].approval())
    assert open_checkpoint(federation.checkpoint(), federation.log.verifier).size == 2


def test_proofs_from_the_database_hold_at_every_size(found: Found) -> None:
    federation = found("north")
    roots = {1: open_checkpoint(federation.checkpoint(), federation.log.verifier).root}
    for number in range(2, 20):
        federation.append(federation.sites[0].approval(f"project-{number}"))
        roots[number] = open_checkpoint(federation.checkpoint(), federation.log.verifier).root
    leaves = [leaf_hash(data) for data in federation.entries(0, 19)]
    with federation.database.reading() as tx:
        for size, root in roots.items():
            assert root == rooted(leaves[:size])
            for index in range(size):
                proof = federation.log.inclusion(tx, index, size)
                verify_inclusion(index, size, leaves[index], root, proof)
            for first in range(1, size + 1):
                proof = federation.log.consistency(tx, first, size)
                verify_consistency(first, size, roots[first], root, proof)
        with pytest.raises(NotFound):
            federation.log.inclusion(tx, 0, 20)


def test_only_members_of_that_size_cosign_and_only_what_is_there(found: Found) -> None:
    federation = found("north")
    checkpoint = open_checkpoint(federation.checkpoint(), federation.log.verifier)
    late = federation.join("south")
    line = cosign(checkpoint, Signer("south", SignatureType.COSIGNATURE, late.witness_key), NOON)
    with federation.database.writing() as tx:
        with pytest.raises(NoteRefused):
            federation.log.add_cosignature(tx, 1, line)
        with pytest.raises(NotFound):
            federation.log.add_cosignature(tx, 9, line)
        assert federation.log.cosigned(tx, 1) == frozenset()


@pytest.mark.parametrize(("faults", "expected"), [(None, [0, 3, 3]), (0, [0, 4, 4]), (1, [0, 0, 4])])
def test_a_quorum_settles_what_it_cosigned_and_no_more(found: Found, faults: int | None, expected: list[int]) -> None:
    federation = found()
    if faults is not None:
        federation.record(Founding(origin=HUB, at=NOON, faults=faults))
    for name in ("north", "south", "west"):
        federation.join(name)
    size, settled = federation.size(), []
    for site in federation.sites:
        line = federation.offer(site)
        assert line is not None
        with federation.database.writing() as tx:
            federation.log.add_cosignature(tx, size, line)
            federation.log.add_cosignature(tx, size, line)
            settled.append(federation.log.settled(tx))
    assert settled == expected
    federation.append(federation.sites[0].approval())
    federation.checkpoint()
    with federation.database.reading() as tx:
        assert federation.log.settled(tx) == size


def test_a_ledger_is_founded_once_by_its_hub_and_first(found: Found) -> None:
    federation = found("north")
    founding = Founding(origin=HUB, at=NOON, faults=0)
    assert refusal(federation, sign_entry(founding, federation.key, ORIGIN)) == "reference-mismatch"
    by_a_site = federation.sites[0].sign(founding.model_copy(update={"origin": "north"}))
    assert refusal(federation, by_a_site) == "wrong-origin"


def test_newcomers_make_no_quorum_before_one_has_cosigned_their_announcement(found: Found) -> None:
    """A hub could else announce sites of its own invention on a tree that the real ones never see."""
    federation = found("north", "south", "west")
    federation.round_of_witnesses()
    invented = [federation.join(f"invented-{number}") for number in range(9)]

    assert federation.cosigned_by(*invented, federation.sites[0]) == 3
    assert federation.cosigned_by(federation.sites[1]) == 12
    federation.append(federation.sites[0].approval())
    assert federation.cosigned_by(*federation.sites[:6]) == 12
    assert federation.cosigned_by(federation.sites[6]) == 13


def test_a_new_key_for_a_known_name_makes_no_quorum_either(found: Found) -> None:
    federation = found("north")
    federation.round_of_witnesses()
    stolen = Ed25519PrivateKey.generate()
    database, mirror = federation.mirror("north", stolen, federation.folder / "stolen.db")
    federation.record(Site("north", database, mirror, stolen, stolen).member())
    checkpoint = open_checkpoint(federation.checkpoint(), federation.log.verifier)
    line = cosign(checkpoint, Signer("north", SignatureType.COSIGNATURE, stolen), NOON)
    with federation.database.writing() as tx:
        federation.log.add_cosignature(tx, 2, line)
        assert federation.log.settled(tx) == 1
        assert verify(tx, federation.log.vkey).settled == 1


def test_writers_in_parallel_lose_and_double_nothing(found: Found) -> None:
    federation = found("north")
    north = federation.sites[0]
    batches = [[north.approval(f"project-{batch}-{item}") for item in range(5)] for batch in range(12)]
    with ThreadPoolExecutor(6) as pool:
        places = list(pool.map(lambda batch: federation.append(*batch), [*batches, *batches[:4]]))
    assert sorted(index for found_at in places[:12] for index in found_at) == list(range(1, 61))
    assert places[12:] == places[:4]
    entries = federation.entries(0, 61)
    for batch, found_at in zip(batches, places, strict=False):
        assert [entries[index] for index in found_at] == batch
    root = open_checkpoint(federation.checkpoint(), federation.log.verifier).root
    assert root == rooted([leaf_hash(data) for data in entries])


def test_what_is_rolled_back_was_never_there(found: Found) -> None:
    federation = found("north")
    north = federation.sites[0]
    with pytest.raises(RuntimeError), federation.database.writing() as tx:
        federation.log.append(tx, north.approval("lost"))
        federation.log.checkpoint(tx, NOON)
        raise RuntimeError
    assert federation.append(north.approval("kept")) == [1]
    assert open_checkpoint(federation.checkpoint(), federation.log.verifier).size == 2
