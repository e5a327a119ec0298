"""Who takes part in a masked round, as each of them and the hub checks it: the paper's round 0 seen from all sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from wardround.contracts.base import Frozen
from wardround.contracts.masking import (
    KEYS_SIGNED,
    SURVIVORS_SIGNED,
    Advertised,
    Agreed,
    MaskedRound,
    Masking,
    Roster,
    SignedKeys,
)
from wardround.learning.masking.fixed_point import FixedPoint
from wardround.learning.masking.refusal import MaskingRefused

Verify = Callable[[str, bytes, bytes], bool]
"""Whether a site, by its name, made a signature over a message; for no unknown name."""

Told = TypeVar("Told", bound=Frozen)


def verify_by(keys: Mapping[str, bytes]) -> Verify:
    """Check signatures by these raw Ed25519 public keys."""

    def verify(site: str, message: bytes, signature: bytes) -> bool:
        key = keys.get(site)
        if key is None:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def read(kind: type[Told], message: bytes) -> Told:
    """A message of a masked round. Raises `MaskingRefused`: `masking-unreadable`."""
    try:
        return kind.model_validate_json(message)
    except ValidationError as error:
        raise MaskingRefused("masking-unreadable") from error


def signed_keys(said: Advertised) -> bytes:
    """The bytes that a site signs of its keys."""
    return KEYS_SIGNED + said.canonical()


def signed_survivors(agreed: Agreed) -> bytes:
    """The bytes that a survivor signs."""
    return SURVIVORS_SIGNED + agreed.canonical()


def check_keys(told: SignedKeys, about: MaskedRound, verify: Verify) -> None:
    """Whether keys are of this round and by the site that they name.

    Raises:
        MaskingRefused: `masking-differs` or `bad-signature`.
    """
    if told.said.about != about:
        raise MaskingRefused("masking-differs")
    if not verify(told.said.site, signed_keys(told.said), told.signature):
        raise MaskingRefused("bad-signature")


@dataclass(frozen=True)
class Circle:
    """The sites of a checked roster, in the order of their names. `needed`: how many have to end the round.

    `digest` is of the roster as the hub told it: what is signed and sealed later is bound to it.
    """

    about: MaskedRound
    sites: Mapping[str, Advertised]
    needed: int
    coding: FixedPoint
    digest: str

    @classmethod
    def of(cls, roster: Roster, about: MaskedRound, verify: Verify) -> Circle:
        """Check a roster whole.

        1. every site's keys are of this very round, and signed by that site;
        2. the sites stand in the order of their names, each once, and no key stands there twice;
        3. there are enough of them for the least sum that was agreed;
        4. their weights and bounds can be told in one encoding.

        Raises:
            MaskingRefused: as `check_keys`; `roster-twice`, `too-few-sites`, `too-coarse`.
        """
        for told in roster.sites:
            check_keys(told, about, verify)
        said = [told.said for told in roster.sites]
        names = [one.site for one in said]
        keys = {key for one in said for key in (one.sealing, one.masking)}
        if names != sorted(set(names)) or len(keys) != 2 * len(names):
            raise MaskingRefused("roster-twice")
        needed = Masking(threshold=about.threshold).needed(len(names))
        if len(names) < needed:
            raise MaskingRefused("too-few-sites")
        coding = FixedPoint.of(said)
        return cls(about, dict(zip(names, said, strict=True)), needed, coding, sha256(roster.canonical()).hexdigest())

    @property
    def bound_to(self) -> bytes:
        """What every box and every pairwise mask of the round is bound to."""
        return self.about.canonical() + self.digest.encode()

    def place(self, site: str) -> int:
        """A site's place, from 1: that of the shares which it holds."""
        return 1 + list(self.sites).index(site)

    def agreed(self, survivors: Iterable[str]) -> bytes:
        """What a survivor signs of these survivors."""
        return signed_survivors(Agreed(about=self.about, roster=self.digest, survivors=tuple(survivors)))

    def check_part(self, names: Iterable[str], of: Iterable[str]) -> tuple[str, ...]:
        """Names in their order, each once, all among those of the step before, and enough of them.

        Raises:
            MaskingRefused: `roster-twice`, `not-in-roster`, `too-few-sites`.
        """
        told = tuple(names)
        if list(told) != sorted(set(told)):
            raise MaskingRefused("roster-twice")
        if not set(told) <= set(of):
            raise MaskingRefused("not-in-roster")
        if len(told) < self.needed:
            raise MaskingRefused("too-few-sites")
        return told


def way(by: str, to: str) -> bytes:
    """From whom to whom a box goes."""
    return f"{by} to {to}".encode()


def sign_of(site: str, other: str) -> int:
    """1 where `site` adds the mask that it shares with `other`, -1 where it takes it away."""
    return 1 if site > other else -1
