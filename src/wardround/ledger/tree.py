"""The Merkle tree of the ledger: hashes, roots and the frontier that grows one leaf at a time.

Hashing is that of RFC 6962, section 2.1 (the same as RFC 9162, section 2.1.1): SHA-256 with the prefix byte
``0x00`` before a leaf and ``0x01`` before the two children of an interior node. All hashes are 32 raw bytes.

A *perfect* node covers ``2**level`` leaves starting at ``index * 2**level``. The storage key of a node is its
in-order position (leaf ``i`` lies at ``2 * i``), the array layout of RFC 9420, appendix C.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Node:
    """Address of a perfect subtree: ``2**level`` leaves from leaf ``index * 2**level`` on."""

    level: int
    index: int

    @property
    def position(self) -> int:
        """In-order position: even for leaves, odd for interior nodes; never moves as the tree grows."""
        return (self.index << (self.level + 1)) + (1 << self.level) - 1


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node from its children's hashes."""
    return sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than ``size`` (at least 2): where RFC 6962 splits a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def cover(start: int, end: int) -> list[Node]:
    """The perfect nodes, left to right, that together are the leaves ``start`` up to but without ``end``."""
    nodes: list[Node] = []
    while start < end:
        widest = (end - start).bit_length() - 1
        level = min(widest, (start & -start).bit_length() - 1) if start else widest
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over perfect nodes that lie left to right in falling size; the empty root for none."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def range_hash(start: int, end: int, hashes: Mapping[Node, bytes]) -> bytes:
    """Root of the leaves ``start`` up to but without ``end``, from the hashes of its :func:`cover`.

    ``start`` must be a multiple of a power of two that is at least ``end - start``, as it is for each range
    that a proof names.
    """
    return fold([hashes[node] for node in cover(start, end)])


class Frontier:
    """The right edge of a tree: enough to append leaves and to tell the root, in O(log n) memory.

    Args:
        size: leaves so far.
        hashes: the hashes of ``cover(0, size)``, left to right.

    Raises:
        ValueError: the number of hashes doesn't fit the size, or one isn't 32 bytes.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self._hashes = list(hashes)
        self.size = size
        if not 0 <= size <= MAX_SIZE or len(self._hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has another number of frontier hashes")
        if any(len(value) != HASH_BYTES for value in self._hashes):
            raise ValueError("a frontier hash isn't 32 bytes")

    def append(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Add a leaf by its hash; return the interior nodes that it completed, lowest first."""
        if len(leaf) != HASH_BYTES:
            raise ValueError("a leaf hash isn't 32 bytes")
        completed: list[tuple[Node, bytes]] = []
        index, level, value = self.size, 0, leaf
        while index & 1:
            value = node_hash(self._hashes.pop(), value)
            index >>= 1
            level += 1
            completed.append((Node(level, index), value))
        self._hashes.append(value)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Root of the tree so far (RFC 6962's MTH); SHA-256 of nothing for an empty tree."""
        return fold(self._hashes)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf *hashes* in order."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()
