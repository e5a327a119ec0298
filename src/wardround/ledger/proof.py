"""Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2; RFC 9162, sections 2.1.3 and 2.1.4).

Both are one thing: a proof that a *subtree* ``[start, end)`` lies in a tree of ``size`` leaves (Merkle Tree
Certificates, draft-ietf-plants-merkle-tree-certs, "Subtrees"). A leaf is the subtree ``[i, i + 1)``; an older
tree is the subtree ``[0, old size)``. Whoever makes a proof and whoever checks one walk the same descent from
the root, so that the number and order of hashes is fixed by the sizes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from wardround.foundation.errors import WardroundError
from wardround.ledger.tree import (
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_SIZE,
    Node,
    cover,
    node_hash,
    range_hash,
    split,
)

NodeReader = Callable[[Sequence[Node]], Mapping[Node, bytes]]
"""Reads the hashes of perfect nodes from wherever they are kept."""


class ProofRefused(WardroundError):
    """A proof doesn't prove what it claims.

    Codes: ``range``, ``hash-length``, ``proof-length``, ``subtree-root``, ``tree-root``.
    """


class _Sibling(Enum):
    RIGHT = "completes the tree only, from the right"
    LEFT = "completes the tree only, from the left"
    SHARED = "completes the tree and the subtree, from the left"


def _descent(start: int, end: int, size: int) -> tuple[list[tuple[_Sibling, int, int]], tuple[int, int], bool]:
    """From the root down to the subtree: siblings passed, the range where it stops, whether that is the subtree."""
    low, high, whole = 0, size, True
    siblings: list[tuple[_Sibling, int, int]] = []
    while (low, high) != (start, end):
        middle = low + split(high - low)
        if end <= middle:
            siblings.append((_Sibling.RIGHT, middle, high))
            high = middle
        elif start >= middle:
            siblings.append((_Sibling.LEFT, low, middle))
            low = middle
        else:
            siblings.append((_Sibling.SHARED, low, middle))
            low = start = middle
            whole = False
    return siblings, (low, high), whole


def _check_subtree(start: int, end: int, size: int) -> None:
    if not 0 <= start < end <= size <= MAX_SIZE:
        raise ProofRefused(f"no leaves {start} to {end} in a tree of {size}", code="range")
    if start % (1 << (end - start - 1).bit_length()):
        raise ProofRefused(f"leaves {start} to {end} aren't a subtree: the start isn't aligned", code="range")


def _check_hashes(*hashes: bytes) -> None:
    if any(not isinstance(value, bytes) or len(value) != HASH_BYTES for value in hashes):
        raise ProofRefused(f"a hash isn't {HASH_BYTES} bytes", code="hash-length")


def subtree_proof(start: int, end: int, size: int, read: NodeReader) -> list[bytes]:
    """Proof that leaves ``[start, end)`` are a subtree of the first ``size`` leaves, read in O(log n) nodes.

    Raises:
        ProofRefused: ``range``, if there is no such subtree.
    """
    _check_subtree(start, end, size)
    siblings, (low, high), whole = _descent(start, end, size)
    ranges = [] if whole else [(low, high)]
    ranges += [(first, last) for _, first, last in reversed(siblings)]
    hashes = read([node for first, last in ranges for node in cover(first, last)])
    return [range_hash(first, last, hashes) for first, last in ranges]


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Audit path of leaf ``index`` in the first ``size`` leaves, from the leaf's sibling up."""
    return subtree_proof(index, index + 1, size, read)


def consistency_proof(first: int, second: int, read: NodeReader) -> list[bytes]:
    """Proof that the first ``second`` leaves begin with the first ``first``; ``first`` is at least 1."""
    return subtree_proof(0, first, second, read)


def verify_subtree_consistency(
    start: int, end: int, size: int, subtree_root: bytes, tree_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that ``subtree_root`` covers leaves ``[start, end)`` of the tree with ``tree_root``.

    An empty subtree proves nothing about the tree; as the draft has it, it passes with the empty root alone.

    Raises:
        ProofRefused: ``range``, ``hash-length``, ``proof-length``, ``subtree-root`` or ``tree-root``.
    """
    _check_hashes(subtree_root, tree_root, *proof)
    if 0 <= start == end <= size <= MAX_SIZE:
        if proof:
            raise ProofRefused("an empty subtree takes no proof", code="proof-length")
        if subtree_root != EMPTY_ROOT:
            raise ProofRefused("not the root of an empty subtree", code="subtree-root")
        return
    _check_subtree(start, end, size)
    siblings, _, whole = _descent(start, end, size)
    expected = len(siblings) + (0 if whole else 1)
    if len(proof) != expected:
        raise ProofRefused(f"the proof has {len(proof)} hashes where {expected} are due", code="proof-length")
    hashes = iter(proof)
    subtree = tree = subtree_root if whole else next(hashes)
    for (kind, _, _), sibling in zip(reversed(siblings), hashes, strict=True):
        if kind is _Sibling.RIGHT:
            tree = node_hash(tree, sibling)
            continue
        tree = node_hash(sibling, tree)
        if kind is _Sibling.SHARED:
            subtree = node_hash(sibling, subtree)
    if subtree != subtree_root:
        raise ProofRefused("the proof leads to another root for the smaller tree", code="subtree-root")
    if tree != tree_root:
        raise ProofRefused("the proof leads to another root for the larger tree", code="tree-root")


def verify_inclusion(index: int, size: int, leaf: bytes, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the leaf with hash ``leaf`` lies at ``index`` of the tree of ``size`` leaves with ``root``.

    Raises:
        ProofRefused: as :func:`verify_subtree_consistency`.
    """
    verify_subtree_consistency(index, index + 1, size, leaf, root, proof)


def verify_subtree_inclusion(
    index: int, start: int, end: int, leaf: bytes, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the leaf at ``index`` lies in the subtree ``[start, end)`` with ``root``."""
    _check_subtree(start, end, max(end, 0))
    if not start <= index < end:
        raise ProofRefused(f"leaf {index} lies outside {start} to {end}", code="range")
    verify_inclusion(index - start, end - start, leaf, root, proof)


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of ``second`` leaves begins with the tree of ``first`` leaves.

    A first size of 0 is refused (``range``): every tree begins with the empty one, so it would prove nothing.

    Raises:
        ProofRefused: as :func:`verify_subtree_consistency`.
    """
    if first < 1:
        raise ProofRefused("a consistency proof from an empty tree proves nothing", code="range")
    verify_subtree_consistency(0, first, second, first_root, second_root, proof)
