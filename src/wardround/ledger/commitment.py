"""Salted commitments to the studies of a frozen cohort.

For each study and each manifest the site draws 32 random bytes, the salt, and keeps it at home. The commitment is
HMAC-SHA-256 (RFC 2104) with the salt as key over a fixed label and the study's identifier. The manifest in the
ledger holds one number only: the RFC 6962 root over the commitments in rising order.

Without the salt a commitment says nothing, not even to someone who guesses the identifier; one study has unlike
commitments in two manifests. Whoever holds the salt can show that the study was in the manifest, and by which entry
it was used. A salt destroyed is a study that can no longer be found: erasure stays possible.
"""

from __future__ import annotations

import hmac
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_bytes

from wardround.ledger.proof import ProofRefused, inclusion_proof, verify_inclusion
from wardround.ledger.tree import Node, leaf_hash, root_of

SALT_BYTES = 32
_LABEL = b"wardround/study-commitment/v1\n"


def commitment(salt: bytes, study: str) -> bytes:
    """The 32-byte commitment to a study's identifier (its Study Instance UID, or a pseudonym).

    Raises:
        ValueError: the salt isn't 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return hmac.digest(salt, _LABEL + study.encode(), "sha256")


def draw_salts(studies: Sequence[str]) -> dict[str, bytes]:
    """A fresh salt for each study, to be kept at the site.

    Raises:
        ValueError: a study is named twice.
    """
    if len(set(studies)) != len(studies):
        raise ValueError("a study is named twice in one manifest")
    return {study: token_bytes(SALT_BYTES) for study in studies}


def _leaves(salts: Mapping[str, bytes]) -> list[bytes]:
    return [leaf_hash(value) for value in sorted(commitment(salt, study) for study, salt in salts.items())]


def commitment_root(salts: Mapping[str, bytes]) -> str:
    """The root over the studies' commitments, in hexadecimal: what a manifest entry holds.

    Raises:
        ValueError: there is no study.
    """
    if not salts:
        raise ValueError("a manifest of no study commits to nothing")
    return root_of(_leaves(salts)).hex()


@dataclass(frozen=True)
class Membership:
    """Shows that one study is among those that a root commits to; handed over only by the site, to an auditor.

    Attributes:
        salt: the study's own salt; says nothing about any other study.
        index: place of its commitment among the sorted ones.
        size: how many there are.
        proof: RFC 6962 audit path.
    """

    salt: bytes
    index: int
    size: int
    proof: tuple[bytes, ...]


def prove_membership(study: str, salts: Mapping[str, bytes], erased: Collection[bytes] = ()) -> Membership:
    """Show that ``study`` is in the manifest whose salts these are.

    Args:
        erased: the commitments of the manifest's studies whose salts were destroyed.

    Raises:
        KeyError: it isn't in that manifest, or its salt was destroyed.
    """
    values = sorted([*(commitment(salt, name) for name, salt in salts.items()), *erased])
    leaves = [leaf_hash(value) for value in values]
    index = bisect_left(values, commitment(salts[study], study))

    def read(nodes: Sequence[Node]) -> dict[Node, bytes]:
        return {node: root_of(leaves[node.index << node.level : (node.index + 1) << node.level]) for node in nodes}

    return Membership(salts[study], index, len(leaves), tuple(inclusion_proof(index, len(leaves), read)))


def verify_membership(study: str, root: str, membership: Membership) -> None:
    """Check a :class:`Membership` against a manifest's ``commitment``.

    Raises:
        ProofRefused: the study isn't shown to be in that manifest.
    """
    if len(membership.salt) != SALT_BYTES:
        raise ProofRefused(f"a salt has {SALT_BYTES} bytes", code="hash-length")
    verify_inclusion(
        membership.index,
        membership.size,
        leaf_hash(commitment(membership.salt, study)),
        bytes.fromhex(root),
        membership.proof,
    )
