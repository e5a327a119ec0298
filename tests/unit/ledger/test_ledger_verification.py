"""The offline check finds whatever was done to a stored ledger, and says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Executable, delete, insert, update
from tests.unit.ledger.federation import NOON, ORIGIN, PROJECT, Federation, rooted

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import HUB, Aggregate, Approval, Manifest, Update, read_signed_entry
from wardround.foundation.database import Database
from wardround.ledger import store
from wardround.ledger import verification as verification_module
from wardround.ledger.checkpoint import Checkpoint, sign_checkpoint
from wardround.ledger.envelope import sign_entry
from wardround.ledger.note import SignatureType, Signer
from wardround.ledger.store import Row
from wardround.ledger.tables import checkpoints, cosignatures, entries, head, nodes
from wardround.ledger.tree import leaf_hash
from wardround.ledger.trust import LedgerForked
from wardround.ledger.verification import Verified, verify

Found = Callable[..., Federation]


def run_of_two_sites(found: Found) -> Federation:
    """Two members, their approvals and manifests, one round and its aggregate: nine entries, all cosigned."""
    federation = found("north", "south")
    approved = [federation.append(site.approval())[0] for site in federation.sites]
    frozen = [
        federation.append(
            site.sign(
                Manifest(
                    origin=site.name,
                    at=NOON,
                    project="glioma",
                    approval=approval,
                    people=Count(about=20),
                    commitment=PROJECT,
                )
            )
        )[0]
        for site, approval in zip(federation.sites, approved, strict=True)
    ]
    updates = [
        federation.append(
            site.sign(
                Update(origin=site.name, at=NOON, run="run-1", round=1, digest=PROJECT, manifest=manifest, steps=9)
            )
        )[0]
        for site, manifest in zip(federation.sites, frozen, strict=True)
    ]
    federation.record(Aggregate(origin=HUB, at=NOON, run="run-1", round=1, digest=PROJECT, updates=tuple(updates)))
    federation.round_of_witnesses()
    return federation


def check(database: Database, federation: Federation, **options: Any) -> Verified:
    with database.reading() as tx:
        return verify(tx, federation.log.vkey, **options)


def reasons(verified: Verified) -> set[tuple[int, str]]:
    assert all(problem.mend and problem.message for problem in verified.problems)
    return {(problem.index, problem.reason) for problem in verified.problems}


def change(database: Database, *statements: Executable) -> None:
    with database.writing() as tx:
        for statement in statements:
            tx.execute(statement)


def test_of_many_entries_the_one_with_another_ones_signature_is_found(found: Found) -> None:
    federation = run_of_two_sites(found)
    north = federation.sites[0]
    more = [
        north.sign(Update(origin=north.name, at=NOON, run="run-2", round=1, digest=PROJECT, manifest=4, steps=number))
        for number in range(150)
    ]
    forged = json.loads(more[97])
    forged["signature"] = json.loads(more[98])["signature"]
    more[97] = rfc8785.dumps(forged)
    with federation.database.writing() as tx:
        start = store.size(tx)
        store.extend(tx, store.frontier(tx, start), [Row.read(data) for data in more])
    assert reasons(check(federation.database, federation)) == {(start + 97, "bad-signature")}


def test_hub_and_sites_hold_the_same_sound_ledger(found: Found) -> None:
    federation = run_of_two_sites(found)
    outcomes = [check(federation.database, federation)]
    outcomes += [check(site.database, federation) for site in federation.sites]
    root = rooted([leaf_hash(data) for data in federation.entries(0, 9)]).hex()
    for outcome in outcomes:
        assert outcome == Verified(
            entries=9,
            root=root,
            size=9,
            cosigned_by=("north", "south"),
            members=("north", "south"),
            quorum_met=True,
            settled=9,
            problems=(),
        )
        assert outcome.sound


def test_entries_since_the_last_checkpoint_are_checked_and_not_called_settled(found: Found) -> None:
    federation = run_of_two_sites(found)
    federation.append(federation.sites[0].approval("next"))
    outcome = check(federation.database, federation)
    assert (outcome.entries, outcome.size, outcome.settled, outcome.sound) == (10, 9, 9, True)
    federation.checkpoint()
    outcome = check(federation.database, federation)
    assert (outcome.size, outcome.cosigned_by, outcome.quorum_met, outcome.settled) == (10, (), False, 9)


def test_an_empty_ledger_is_sound(found: Found) -> None:
    federation = found()
    outcome = check(federation.database, federation)
    assert outcome.sound
    assert (outcome.entries, outcome.size, outcome.quorum_met) == (0, 0, False)


def test_a_missing_cosignature_leaves_no_quorum(found: Found) -> None:
    federation = run_of_two_sites(found)
    change(federation.database, delete(cosignatures).where(cosignatures.c.witness == "south"))
    assert not check(federation.database, federation).quorum_met
    assert check(federation.sites[1].database, federation).quorum_met


def test_edited_bytes_are_found_at_their_index(found: Found) -> None:
    federation = run_of_two_sites(found)
    document = json.loads(federation.entries(6, 7)[0])
    document["entry"]["steps"] = 10
    change(federation.database, update(entries).where(entries.c.index == 6).values(bytes=rfc8785.dumps(document)))
    found_here = reasons(check(federation.database, federation))
    assert {(6, "entry-changed"), (6, "bad-signature"), (9, "root-differs")} <= found_here
    assert check(federation.sites[0].database, federation).sound


@pytest.mark.parametrize("columns", [{"origin": "south"}, {"kind": "member"}, {"leaf_hash": b"\x00" * 32}])
def test_columns_that_belie_the_bytes_are_found(found: Found, columns: dict[str, Any]) -> None:
    federation = run_of_two_sites(found)
    change(federation.database, update(entries).where(entries.c.index == 6).values(**columns))
    assert reasons(check(federation.database, federation)) == {(6, "entry-changed")}


def test_edited_bytes_with_their_leaf_and_nodes_redone_are_found_by_the_hubs_signature(found: Found) -> None:
    federation = run_of_two_sites(found)
    kept = federation.entries(0, 8)
    with federation.database.writing() as tx:
        store.truncate(tx, 8)
        entry = Aggregate(origin=HUB, at=NOON, run="run-1", round=1, digest="b" * 64, updates=(6,))
        data = sign_entry(entry, federation.key, ORIGIN)
        store.extend(tx, store.frontier(tx, 8), [Row(leaf_hash(data), data, read_signed_entry(data))])
    assert federation.entries(0, 8) == kept
    assert reasons(check(federation.database, federation)) == {(9, "root-differs")}


@pytest.mark.parametrize("index", [0, 4, 8])
def test_a_deleted_entry_is_found(found: Found, index: int) -> None:
    federation = run_of_two_sites(found)
    change(federation.database, delete(entries).where(entries.c.index == index))
    outcome = check(federation.database, federation)
    if index < 8:
        assert (index, "entry-missing") in reasons(outcome)
    assert (index, "head") in reasons(outcome)


def test_a_tail_that_was_cut_off_cleanly_is_found(found: Found) -> None:
    federation = run_of_two_sites(found)
    for database in (federation.database, federation.sites[0].database):
        with database.writing() as tx:
            store.truncate(tx, 7)
        assert reasons(check(database, federation)) == {(9, "entry-missing")}


def test_swapped_entries_are_found(found: Found) -> None:
    federation = run_of_two_sites(found)
    moves = [(2, 100), (3, 2), (100, 3)]
    change(
        federation.database,
        *(update(entries).where(entries.c.index == old).values(index=new) for old, new in moves),
    )
    found_here = reasons(check(federation.database, federation))
    assert (9, "root-differs") in found_here
    assert (4, "reference-mismatch") in found_here


def test_a_changed_interior_hash_is_found(found: Found) -> None:
    federation = run_of_two_sites(found)
    change(federation.database, update(nodes).where(nodes.c.position == 1).values(hash=b"\x00" * 32))
    assert reasons(check(federation.database, federation)) == {(1, "node-changed")}


def test_a_checkpoint_that_the_hub_did_not_sign_is_found(found: Found) -> None:
    federation = run_of_two_sites(found)
    root = rooted([leaf_hash(data) for data in federation.entries(0, 9)])
    stranger = Signer(ORIGIN, SignatureType.NOTE, Ed25519PrivateKey.generate())
    note = sign_checkpoint(Checkpoint(ORIGIN, 9, root), stranger)
    change(federation.database, update(checkpoints).values(note=note))
    outcome = check(federation.database, federation)
    assert reasons(outcome) == {(9, "checkpoint")}
    assert (outcome.size, outcome.quorum_met) == (0, False)


def test_a_ledger_of_another_hub_is_not_taken_for_this_one(found: Found) -> None:
    federation = run_of_two_sites(found)
    other = Signer(ORIGIN, SignatureType.NOTE, Ed25519PrivateKey.generate()).verifier
    with federation.database.reading() as tx:
        outcome = verify(tx, other)
    assert {(0, "bad-signature"), (9, "checkpoint")} <= reasons(outcome)


def test_forged_and_misnamed_cosignatures_count_for_nothing(found: Found) -> None:
    federation = run_of_two_sites(found)
    with federation.database.reading() as tx:
        lines = store.cosigned(tx, 9)
    change(
        federation.database,
        update(cosignatures).where(cosignatures.c.witness == "south").values(line=lines["north"]),
        insert(cosignatures).values(size=9, witness="west", line=lines["north"]),
    )
    outcome = check(federation.database, federation)
    assert reasons(outcome) == {(9, "cosignature")}
    assert len(outcome.problems) == 2
    assert (outcome.cosigned_by, outcome.quorum_met, outcome.settled) == (("north",), False, 0)


def test_an_entry_that_the_hub_slipped_in_is_found_although_the_tree_holds(found: Found) -> None:
    """The hub writes past its own admission: a forged approval, a manifest that names an update for an approval, and
    one that names an approval which comes after it."""
    federation = run_of_two_sites(found)
    north = federation.sites[0]
    forged = Approval(origin="south", at=NOON, project="glioma", project_digest=PROJECT)
    unfounded = Manifest(
        origin="north", at=NOON, project="glioma", approval=6, people=Count(about=20), commitment=PROJECT
    )
    with federation.database.writing() as tx:
        edge = store.frontier(tx, store.lock(tx))
        slipped_in = [sign_entry(forged, federation.key, ORIGIN), north.sign(unfounded)]
        slipped_in += [north.sign(unfounded.model_copy(update={"approval": 12})), north.approval("glioma")]
        for data in slipped_in:
            store.extend(tx, edge, [Row(leaf_hash(data), data, read_signed_entry(data))])
    federation.checkpoint()
    outcome = check(federation.database, federation)
    assert reasons(outcome) == {(9, "bad-signature"), (10, "reference-kind"), (11, "reference-missing")}
    assert outcome.size == 13


@pytest.mark.parametrize(("recorded", "at"), [(10, 9), (8, 8)])
def test_a_wrong_size_in_the_head_is_found(found: Found, recorded: int, at: int) -> None:
    federation = run_of_two_sites(found)
    change(federation.database, update(head).values(size=recorded))
    assert (at, "head") in reasons(check(federation.database, federation))


def test_a_ledger_that_grows_while_it_is_checked_is_sound(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a database whose transactions see each other's commits between two queries, as PostgreSQL's do."""
    federation = run_of_two_sites(found)
    honest = verification_module.check_references

    def slow(entry: Any, index: int, lookup: Any) -> None:
        if isinstance(entry, Aggregate):
            federation.append(federation.sites[0].approval("meanwhile"))
            federation.checkpoint()
        honest(entry, index, lookup)

    monkeypatch.setattr(verification_module, "check_references", slow)
    with federation.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        outcome = verify(connection, federation.log.vkey)
    assert outcome.sound
    assert outcome.entries == 9
    assert federation.size() == 10


def test_a_stopped_mirror_says_so(found: Found) -> None:
    federation = run_of_two_sites(found)
    north = federation.sites[0]
    lie = sign_checkpoint(Checkpoint(ORIGIN, 9, b"\x00" * 32), Signer(ORIGIN, SignatureType.NOTE, federation.key))
    with pytest.raises(LedgerForked):
        north.mirror.observe(lie, NOON)
    assert reasons(check(north.database, federation)) == {(9, "forked")}


def test_nothing_is_written_by_looking(found: Found) -> None:
    federation = run_of_two_sites(found)
    with federation.database.reading() as tx:
        verify(tx, federation.log.verifier)
        assert not tx.new
        assert not tx.dirty
    assert federation.size() == 9
