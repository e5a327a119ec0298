"""Trees and proofs against the recursive definitions of RFC 6962, section 2.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.ledger.proof import (
    ProofRefused,
    consistency_proof,
    inclusion_proof,
    subtree_proof,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
)
from wardround.ledger.tree import EMPTY_ROOT, Frontier, Node, cover, leaf_hash, root_of


def defined_root(data: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, word for word."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    middle = 1
    while middle * 2 < len(data):
        middle *= 2
    return sha256(b"\x01" + defined_root(data[:middle]) + defined_root(data[middle:])).digest()


class Nodes:
    """The nodes that a growing frontier completes; counts what is read."""

    def __init__(self, data: Sequence[bytes]) -> None:
        self.kept: dict[Node, bytes] = {}
        self.read_so_far = 0
        self.frontier = Frontier()
        for index, item in enumerate(data):
            self.kept[Node(0, index)] = leaf_hash(item)
            self.kept.update(self.frontier.append(leaf_hash(item)))

    def read(self, wanted: Sequence[Node]) -> Mapping[Node, bytes]:
        self.read_so_far += len(wanted)
        return {node: self.kept[node] for node in wanted}


logs = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


@given(logs)
def test_frontier_has_the_defined_root_at_every_size(data: list[bytes]) -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == defined_root([])
    for size, item in enumerate(data, 1):
        frontier.append(leaf_hash(item))
        assert frontier.root() == defined_root(data[:size])


@given(logs, st.data())
def test_any_leaf_of_any_size_is_proven_and_no_flipped_bit_passes(data: list[bytes], draw: st.DataObject) -> None:
    nodes = Nodes(data)
    size = draw.draw(st.integers(1, len(data)))
    index = draw.draw(st.integers(0, size - 1))
    leaf, root = leaf_hash(data[index]), defined_root(data[:size])
    proof = inclusion_proof(index, size, nodes.read)
    verify_inclusion(index, size, leaf, root, proof)

    parts = [leaf, root, *proof]
    which = draw.draw(st.integers(0, len(parts) - 1))
    bit = draw.draw(st.integers(0, 255))
    parts[which] = (int.from_bytes(parts[which], "big") ^ (1 << bit)).to_bytes(32, "big")
    with pytest.raises(ProofRefused):
        verify_inclusion(index, size, parts[0], parts[1], parts[2:])


@given(logs, st.data())
def test_any_older_tree_is_proven_and_no_flipped_bit_passes(data: list[bytes], draw: st.DataObject) -> None:
    nodes = Nodes(data)
    second = draw.draw(st.integers(1, len(data)))
    first = draw.draw(st.integers(1, second))
    roots = defined_root(data[:first]), defined_root(data[:second])
    proof = consistency_proof(first, second, nodes.read)
    verify_consistency(first, second, *roots, proof)

    parts = [*roots, *proof]
    which = draw.draw(st.integers(0, len(parts) - 1))
    bit = draw.draw(st.integers(0, 255))
    parts[which] = (int.from_bytes(parts[which], "big") ^ (1 << bit)).to_bytes(32, "big")
    with pytest.raises(ProofRefused):
        verify_consistency(first, second, parts[0], parts[1], parts[2:])


@given(logs, st.data())
def test_any_aligned_subtree_is_proven(data: list[bytes], draw: st.DataObject) -> None:
    nodes = Nodes(data)
    width = 1 << draw.draw(st.integers(0, len(data).bit_length() - 1))
    start = width * draw.draw(st.integers(0, (len(data) - 1) // width))
    end = min(start + draw.draw(st.integers(width // 2 + 1, width)), len(data))
    if start % (1 << (end - start - 1).bit_length()):
        return
    verify_subtree_consistency(
        start,
        end,
        len(data),
        defined_root(data[start:end]),
        defined_root(data),
        subtree_proof(start, end, len(data), nodes.read),
    )


@given(logs, st.data())
def test_a_proof_of_other_length_is_refused(data: list[bytes], draw: st.DataObject) -> None:
    nodes = Nodes(data)
    index = draw.draw(st.integers(0, len(data) - 1))
    proof = inclusion_proof(index, len(data), nodes.read)
    for wrong in ([*proof, root_of([])], [root_of([]), *proof], proof[:-1] if proof else [b"\x00" * 32]):
        with pytest.raises(ProofRefused) as refused:
            verify_inclusion(index, len(data), leaf_hash(data[index]), defined_root(data), wrong)
        assert refused.value.code == "proof-length"


def test_a_consistency_proof_from_nothing_is_refused() -> None:
    with pytest.raises(ProofRefused, match="proves nothing"):
        verify_consistency(0, 1, EMPTY_ROOT, leaf_hash(b""), [])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_hashes_of_other_length_are_refused_even_where_they_are_equal(length: int) -> None:
    with pytest.raises(ProofRefused) as refused:
        verify_consistency(1, 1, b"x" * length, b"x" * length, [])
    assert refused.value.code == "hash-length"


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (0, 0), (0, 2**63), (2**63, 2**64)])
def test_places_outside_the_tree_are_refused(index: int, size: int) -> None:
    with pytest.raises(ProofRefused) as refused:
        verify_inclusion(index, size, leaf_hash(b""), leaf_hash(b""), [])
    assert refused.value.code == "range"


def test_a_proof_in_a_large_tree_reads_few_nodes() -> None:
    nodes = Nodes([index.to_bytes(4, "big") for index in range(5000)])
    inclusion_proof(1234, 4999, nodes.read)
    consistency_proof(1234, 4999, nodes.read)
    assert nodes.read_so_far <= 2 * 2 * 13


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_cover_is_each_leaf_once_in_order(start: int, length: int) -> None:
    at = start
    for node in cover(start, start + length):
        assert node.index << node.level == at
        at += 1 << node.level
    assert at == start + length


def test_positions_are_unlike_for_all_nodes() -> None:
    nodes = [Node(level, index) for level in range(8) for index in range(128 >> level)]
    assert len({node.position for node in nodes}) == len(nodes)
    assert {node.position % 2 for node in nodes if node.level} == {1}


def test_a_frontier_of_other_size_than_its_hashes_is_refused() -> None:
    with pytest.raises(ValueError, match="frontier"):
        Frontier(3, [leaf_hash(b"")])
