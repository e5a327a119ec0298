"""A hospital's side of one masked round, as a machine of five steps.

Each step is done once and in order. Whatever is refused ends the round here: no later step is done, and the keys are
forgotten. The steps are the rounds 0 to 4 of Bonawitz et al. 2017, figure 4; the numbers in the code are the paper's
checks and, where it says so, ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.masking import (
    Advertised,
    Confirmations,
    Confirmed,
    MaskedRound,
    MaskingStep,
    Pair,
    Revealed,
    RevealedShare,
    Roster,
    SealedShares,
    SharesForSite,
    SharesSent,
    SignedKeys,
    Survivors,
)
from wardround.learning.masking.agreement import commitment, mask_seed, new_key, public_of, seal, unseal
from wardround.learning.masking.generator import mask
from wardround.learning.masking.refusal import MaskingRefused
from wardround.learning.masking.roster import Circle, Verify, read, sign_of, signed_keys, way
from wardround.learning.masking.shamir import split

STEPS: tuple[MaskingStep, ...] = get_args(MaskingStep)
Sign = Callable[[bytes], bytes]


class MaskingSite:
    """One site in one round.

    Args:
        about: the round as this site knows it, from its own approval and from the weights that it was given.
        weight: how often its update enters the sum.
        bound: no value of its update is larger (`wardround.learning.masking.fixed_point.bound_of`).
        sign: with the key that the ledger knows this site by.
        verify: by the keys that this site's own copy of the ledger knows the others by.

    Every step raises `MaskingRefused`.
    """

    def __init__(
        self, site: str, about: MaskedRound, *, weight: float, bound: float, sign: Sign, verify: Verify
    ) -> None:
        self.about = about
        self._site = site
        self._sign = sign
        self._verify = verify
        self._next = 0
        self._sealing, self._masking, self._self_mask = new_key(), new_key(), secrets.token_bytes(32)
        self._said = Advertised(
            about=about,
            site=site,
            sealing=public_of(self._sealing),
            masking=public_of(self._masking),
            weight=weight,
            bound=bound,
        )
        self._circle: Circle
        self._senders: tuple[str, ...] = ()
        self._own: Pair | None = None
        self._held: dict[str, Pair] = {}
        self.survivors: tuple[str, ...] = ()

    def advertise(self) -> bytes:
        """Step 1: two fresh public keys, signed."""
        with self._step("advertise"):
            told = SignedKeys(said=self._said, signature=self._sign(signed_keys(self._said)))
            return told.canonical()

    def share(self, roster: bytes) -> bytes:
        """Step 2: check who begins the round, and give each of them a share of both secrets.

        1. the roster holds (`Circle.of`), with this site's own keys in it as it told them;
        2. the masking key and the self-mask's seed are split so that `needed` sites open them;
        3. each other site's pair of shares goes into a box that it alone can open.
        """
        with self._step("share"):
            self._circle = circle = Circle.of(read(Roster, roster), self.about, self._verify)
            if circle.sites.get(self._site) != self._said:
                raise MaskingRefused("not-in-roster")
            places = len(circle.sites)
            shares = zip(
                split(self._self_mask, needed=circle.needed, places=places),
                split(self._masking, needed=circle.needed, places=places),
                strict=True,
            )
            pairs = {
                to: Pair(by=self._site, to=to, roster=circle.digest, self_mask=self_mask, key=key)
                for to, (self_mask, key) in zip(circle.sites, shares, strict=True)
            }
            self._own = pairs.pop(self._site)
            boxes = tuple(
                SealedShares(by=self._site, to=to, box=self._seal(to, pair.canonical())) for to, pair in pairs.items()
            )
            return SharesSent(self_mask=commitment(self._self_mask), boxes=boxes).canonical()

    def input(self, shares: bytes, values: NDArray[np.floating]) -> bytes:
        """Step 3: open the others' shares, and give the masked update.

        1. boxes came from enough sites of the roster, each once, for this site;
        2. every box opens, and holds shares made by its sender for this site and this roster;
        3. the update is encoded, refused where it isn't finite or is larger than was told;
        4. this site's own mask is added, and for each site that sent shares the mask shared with it.

        Returns: one little-endian 32-bit word for each value.
        """
        with self._step("input"):
            circle, boxes = self._circle, read(SharesForSite, shares).boxes
            if any(box.to != self._site or box.by == self._site for box in boxes):
                raise MaskingRefused("not-in-roster")
            senders = sorted([box.by for box in boxes] + [self._site])
            self._senders = circle.check_part(senders, circle.sites)
            self._held = {box.by: self._open(box) for box in boxes}
            if self._own is not None:
                self._held[self._site] = self._own
            masked = circle.coding.encode(values, self._said.weight, self._said.bound)
            mask(masked, self._self_mask, 1)
            for other in self._senders:
                if other != self._site:
                    shared = mask_seed(self._masking, circle.sites[other].masking, circle.bound_to)
                    mask(masked, shared, cast(Literal[1, -1], sign_of(self._site, other)))
            return masked.astype("<u4", copy=False).tobytes()

    def confirm(self, survivors: bytes) -> bytes:
        """Step 4: sign whose updates are in the sum, so that the hub can't tell each site of others.

        1. they are among those whose shares this site holds, enough of them, this site too.
        """
        with self._step("confirm"):
            told = self._circle.check_part(read(Survivors, survivors).sites, self._senders)
            if self._site not in told:
                raise MaskingRefused("not-in-roster")
            self.survivors = told
            return Confirmed(site=self._site, signature=self._sign(self._circle.agreed(told))).canonical()

    def reveal(self, confirmations: bytes) -> bytes:
        """Step 5: reveal of each site one share and never the other.

        1. enough survivors signed that they were told of the very same survivors;
        2. of a survivor the share of its self-mask, of a site that dropped out the share of its masking key;
        3. all secrets are forgotten, so that no second question can be answered.
        """
        with self._step("reveal"):
            told = read(Confirmations, confirmations).sites
            signers = self._circle.check_part([one.site for one in told], self.survivors)
            agreed = self._circle.agreed(self.survivors)
            if not all(self._verify(one.site, agreed, one.signature) for one in told):
                raise MaskingRefused("bad-signature")
            if len(signers) < self._circle.needed:
                raise MaskingRefused("too-few-sites")
            alive = set(self.survivors)
            shares = tuple(
                RevealedShare(of=of, kind="self-mask", share=held.self_mask)
                if of in alive
                else RevealedShare(of=of, kind="key", share=held.key)
                for of, held in sorted(self._held.items())
            )
            self.forget()
            return Revealed(shares=shares).canonical()

    def forget(self) -> None:
        """Drop all secrets; no step is done any more."""
        self._next = len(STEPS)
        self._sealing = self._masking = self._self_mask = b""
        self._held.clear()
        self._own = None

    @contextmanager
    def _step(self, name: MaskingStep) -> Iterator[None]:
        if STEPS[self._next : self._next + 1] != (name,):
            self.forget()
            raise MaskingRefused("out-of-turn")
        try:
            yield
        except BaseException:
            self.forget()
            raise
        self._next += 1

    def _seal(self, to: str, content: bytes) -> bytes:
        circle = self._circle
        return seal(self._sealing, circle.sites[to].sealing, way(self._site, to), circle.bound_to, content)

    def _open(self, box: SealedShares) -> Pair:
        circle = self._circle
        sender = circle.sites[box.by].sealing
        pair = read(Pair, unseal(self._sealing, sender, way(box.by, self._site), circle.bound_to, box.box))
        if (pair.by, pair.to, pair.roster) != (box.by, self._site, circle.digest):
            raise MaskingRefused("shares-differ")
        return pair
