"""Secure aggregation: what a plan says of it, and what hospitals and the hub tell one another in a masked round.

The protocol is that of Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: Practical Secure
Aggregation for Privacy-Preserving Machine Learning, CCS 2017, figure 4, with the steps of the active adversary: signed
keys (round 0) and the consistency check (round 3). The hub only passes on and adds up.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wardround.contracts.base import Digest, Frozen, RunId, SiteName
from wardround.contracts.masking_step import MaskingStep as MaskingStep

MOST_SITES = 1000

PublicKey = Annotated[bytes, Field(min_length=32, max_length=32)]
"""X25519 (RFC 7748), raw."""

Signature = Annotated[bytes, Field(min_length=64, max_length=64)]
"""Ed25519 (RFC 8032), by the key with which the site signs its ledger entries."""

Share = Annotated[bytes, Field(min_length=33, max_length=33)]
"""One Shamir share of a secret of 32 bytes, big-endian; its place is that of its holder in the roster, from 1."""


class Masking(Frozen):
    """The hub sees the sum of a round's updates and no single one.

    `threshold` is the least number of hospitals in a sum. It is raised to more than half of those that begin a round,
    so that the hub can't have both kinds of share of one hospital from two halves of the others.
    """

    threshold: int = Field(default=3, ge=2, le=MOST_SITES)

    def needed(self, sites: int) -> int:
        """How many of the `sites` that begin a round have to end it, and how many shares open a secret of theirs."""
        return max(self.threshold, sites // 2 + 1)

    def in_words(self) -> str:
        return (
            f"updates leave masked: the hub sees only the sum of at least {self.threshold} hospitals' updates, "
            "and of more than half of those that began the round"
        )


class MaskedLeg(Frozen):
    """What the hub tells the engine where a leg's rounds are masked: what its sites' signatures are bound to, and by
    which key, in hexadecimal, the ledger knows each."""

    ledger: str = Field(max_length=200)
    project: Digest
    threshold: int = Field(ge=2, le=MOST_SITES)
    keys: dict[SiteName, Digest]


class MaskedRound(Frozen):
    """What each signature and each sealed share of a masked round is bound to.

    `model` is the SHA-256 of the weights that the hub gave at the start of the round: hospitals that were given
    different ones don't finish a round together (Pasquini, Francati, Ateniese: Eluding Secure Aggregation in Federated
    Learning via Model Inconsistency, CCS 2022).
    """

    ledger: str = Field(max_length=200)
    run: RunId
    leg: str = Field(max_length=80)
    round: int = Field(ge=1)
    project: Digest
    model: Digest
    threshold: int = Field(ge=2, le=MOST_SITES)


class Advertised(Frozen):
    """A site's two public keys of one round, and what its numbers are encoded by.

    `sealing` is for shares on their way through the hub, `masking` for pairwise masks. No value of the site's update
    is larger than `bound`; it enters the sum `weight` times.
    """

    about: MaskedRound
    site: SiteName
    sealing: PublicKey
    masking: PublicKey
    weight: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    bound: float = Field(gt=0, le=1e12, allow_inf_nan=False)


class SignedKeys(Frozen):
    """Step 1, from each site. The signature covers `KEYS_SIGNED` and the canonical bytes of `said`."""

    said: Advertised
    signature: Signature


class Roster(Frozen):
    """Step 2, to every site: who begins the round, in the order of their names."""

    sites: tuple[SignedKeys, ...] = Field(max_length=MOST_SITES)


class SealedShares(Frozen):
    """Shares that only `to` can open, made by `by`."""

    by: SiteName
    to: SiteName
    box: bytes = Field(max_length=400)


class SharesSent(Frozen):
    """Step 2, from each site: a box for every other site of the roster. `self_mask` is the SHA-256 commitment to the
    seed of the site's own mask, by which the hub notices shares that were tampered with."""

    self_mask: Digest
    boxes: tuple[SealedShares, ...] = Field(max_length=MOST_SITES)


class SharesForSite(Frozen):
    """Step 3, to one site: the boxes for it, from every other site that sent its own."""

    boxes: tuple[SealedShares, ...] = Field(max_length=MOST_SITES)


class Pair(Frozen):
    """Two shares as they are sealed: of one site's self-mask and of its masking key. `roster` is the SHA-256 of the
    roster that the sender was shown."""

    by: SiteName
    to: SiteName
    roster: Digest
    self_mask: Share
    key: Share


class Survivors(Frozen):
    """Step 4, to each of them: the sites whose masked updates are in the sum."""

    sites: tuple[SiteName, ...] = Field(max_length=MOST_SITES)


class Agreed(Frozen):
    """What each survivor signs in step 4, behind `SURVIVORS_SIGNED`: that it was told of just these."""

    about: MaskedRound
    roster: Digest
    survivors: tuple[SiteName, ...]


class Confirmed(Frozen):
    """Step 4, from each survivor: its signature over `Agreed`."""

    site: SiteName
    signature: Signature


class Confirmations(Frozen):
    """Step 5, to each survivor: what the others signed."""

    sites: tuple[Confirmed, ...] = Field(max_length=MOST_SITES)


class RevealedShare(Frozen):
    """A share of the self-mask of a survivor, or of the masking key of a site that dropped out; never both of one."""

    of: SiteName
    kind: Literal["self-mask", "key"]
    share: Share


class Revealed(Frozen):
    """Step 5, from each survivor."""

    shares: tuple[RevealedShare, ...] = Field(max_length=MOST_SITES)


KEYS_SIGNED = b"wardround/masking-keys/v1\n"
SURVIVORS_SIGNED = b"wardround/masking-survivors/v1\n"
