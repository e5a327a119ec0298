"""However entries come in, in whatever batches and with whatever interruptions: the tree is that of RFC 6962."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ledger.federation import NOON, ORIGIN, Federation, open_database
from tests.unit.ledger.test_ledger_tree import defined_root

from wardround.ledger import store
from wardround.ledger.log import Log
from wardround.ledger.mirror import Mirror
from wardround.ledger.proof import ProofRefused, verify_consistency, verify_inclusion
from wardround.ledger.tree import leaf_hash

QUICK = settings(max_examples=25, deadline=None)


@contextmanager
def federation_of_one() -> Iterator[Federation]:
    folder = Path(tempfile.mkdtemp())
    key = Ed25519PrivateKey.generate()
    made = Federation(folder, key, open_database(folder / "hub.db"), Log(ORIGIN, key))
    try:
        made.join("north")
        yield made
    finally:
        made.database.close()
        for database in made.databases:
            database.close()
        shutil.rmtree(folder)


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ (1 << bit)).to_bytes(32, "big")


@QUICK
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_random_batches_make_the_defined_tree_and_every_proof_holds(sizes: Sequence[int], draw: st.DataObject) -> None:
    with federation_of_one() as federation:
        north = federation.sites[0]
        for number, size in enumerate(sizes):
            federation.append(*(north.approval(f"project-{number}-{item}") for item in range(size)))
        total = federation.size()
        data = federation.entries(0, total)
        assert total == 1 + sum(sizes)
        size = draw.draw(st.integers(1, total))
        index = draw.draw(st.integers(0, size - 1))
        first = draw.draw(st.integers(1, size))
        with federation.database.reading() as tx:
            root, older = store.root(tx, size), store.root(tx, first)
            inclusion = federation.log.inclusion(tx, index, size)
            consistency = federation.log.consistency(tx, first, size)
        assert root == defined_root(data[:size])
        assert older == defined_root(data[:first])
        leaf = leaf_hash(data[index])
        verify_inclusion(index, size, leaf, root, inclusion)
        verify_consistency(first, size, older, root, consistency)
        bit = draw.draw(st.integers(0, 255))
        for parts, check in (
            ([leaf, root, *inclusion], lambda p: verify_inclusion(index, size, p[0], p[1], p[2:])),
            ([older, root, *consistency], lambda p: verify_consistency(first, size, p[0], p[1], p[2:])),
        ):
            which = draw.draw(st.integers(0, len(parts) - 1))
            with pytest.raises(ProofRefused):
                check([*parts[:which], flipped(parts[which], bit), *parts[which + 1 :]])


@QUICK
@given(st.lists(st.integers(1, 30), max_size=6), st.lists(st.integers(0, 30), max_size=6))
def test_a_mirror_that_is_stopped_and_resumed_anywhere_equals_the_hub(
    checkpoints: Sequence[int], restarts: Sequence[int]
) -> None:
    """Checkpoints at some sizes, restarts of the mirror at others, batches cut at both."""
    with federation_of_one() as federation:
        north = federation.sites[0]
        notes: list[tuple[int, str]] = []
        for size in sorted({*checkpoints, 31}):
            more = size - federation.size()
            federation.append(*(north.approval(f"project-{size}-{item}") for item in range(more)))
            notes.append((size, federation.checkpoint()))
        mirror, at = north.mirror, 0
        for size, note in notes:
            for end in sorted({cut for cut in restarts if at < cut < size} | {size}):
                line = mirror.take(at, federation.entries(at, end), note, NOON)
                assert (line is not None) == (end == size)
                at = end
                mirror = Mirror(north.database, "north", federation.log.vkey, north.witness_key)
        with federation.database.reading() as ours, north.database.reading() as theirs:
            assert store.root(theirs, 31) == store.root(ours, 31) == defined_root(federation.entries(0, 31))
            assert store.entries(theirs, 0, 31) == store.entries(ours, 0, 31)
        assert mirror.settled() == 31


def test_a_batch_for_a_mirror_is_cut_by_its_bytes_and_holds_one_at_least() -> None:
    with federation_of_one() as federation:
        north = federation.sites[0]
        federation.append(*(north.approval(f"project-{item}") for item in range(9)))
        sizes = [len(data) for data in federation.entries(0, 10)]
        with federation.database.reading() as tx:
            assert len(store.entries(tx, 0, 10, sum(sizes))) == 10
            assert len(store.entries(tx, 0, 10, sum(sizes[:4]))) == 4
            assert len(store.entries(tx, 0, 10, 1)) == 1
            assert store.entries(tx, 10, 10, 1) == []
