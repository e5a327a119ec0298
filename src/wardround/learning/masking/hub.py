"""The hub's side of one masked round: it passes on what hospitals tell one another, adds up, and takes the masks off
the sum. It never has what would take them off one update.

The five steps are those of `wardround.learning.masking.site`. What one site tells is taken or refused alone; closing a
step fails the round where too few are left. Memory is for one sum and one update, however many sites there are.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.masking import (
    Confirmations,
    Confirmed,
    MaskedRound,
    Revealed,
    Roster,
    SharesForSite,
    SharesSent,
    SignedKeys,
    Survivors,
)
from wardround.learning.masking.agreement import commitment, mask_seed, new_key, public_of
from wardround.learning.masking.generator import mask
from wardround.learning.masking.refusal import MaskingRefused
from wardround.learning.masking.roster import Circle, Verify, check_keys, read, sign_of
from wardround.learning.masking.shamir import join


class MaskingHub:
    """One masked round at the hub.

    Args:
        about: the round, as it was told to the sites.
        size: how many values an update has.
        verify: by the keys that the ledger knows the sites by.

    `advertised`, `shared`, `masked`, `confirmed` and `revealed` take one site's part and raise `MaskingRefused` where
    it is refused, with nothing changed. What closes a step raises it where the round as a whole can't go on.
    """

    def __init__(self, about: MaskedRound, size: int, verify: Verify) -> None:
        self._about = about
        self._verify = verify
        self._keys: dict[str, SignedKeys] = {}
        self._circle: Circle
        self._shares: dict[str, SharesSent] = {}
        self._senders: tuple[str, ...] = ()
        self._sum = np.zeros(size, np.uint32)
        self._in_sum: set[str] = set()
        self._survivors: tuple[str, ...] = ()
        self._confirmed: dict[str, Confirmed] = {}
        self._revealed: dict[str, Revealed] = {}
        self._unmasked = False

    # Step 1

    def advertised(self, site: str, message: bytes) -> None:
        told = read(SignedKeys, message)
        if told.said.site != site:
            raise MaskingRefused("masking-differs")
        check_keys(told, self._about, self._verify)
        for key in (told.said.sealing, told.said.masking):
            # One that nobody can agree with would have every other site refuse the roster.
            mask_seed(new_key(), key, b"")
        self._keys[site] = told

    def roster(self) -> bytes:
        """Close step 1: what every site is told in step 2."""
        roster = Roster(sites=tuple(self._keys[site] for site in sorted(self._keys)))
        self._circle = Circle.of(roster, self._about, self._verify)
        return roster.canonical()

    # Step 2

    def shared(self, site: str, message: bytes) -> None:
        told = read(SharesSent, message)
        others = [other for other in self._circle.sites if other != site]
        if site not in self._circle.sites or any(box.by != site for box in told.boxes):
            raise MaskingRefused("not-in-roster")
        if [box.to for box in told.boxes] != others:
            raise MaskingRefused("shares-missing")
        self._shares[site] = told

    def close_shares(self) -> None:
        """Close step 2. Whoever sent no shares is out: nobody has a mask with it."""
        self._senders = self._circle.check_part(sorted(self._shares), self._circle.sites)

    def shares_for(self, site: str) -> bytes:
        """What one site is told in step 3."""
        boxes = (box for by in self._senders for box in self._shares[by].boxes if box.to == site)
        return SharesForSite(boxes=tuple(boxes)).canonical()

    # Step 3

    def weight_of(self, site: str) -> float:
        """What a site of the roster signed that it weighs."""
        return self._circle.sites[site].weight

    def check_size(self, message: bytes) -> None:
        """Raises `MaskingRefused`: `wrong-size`."""
        if len(message) != 4 * self._sum.size:
            raise MaskingRefused("wrong-size")

    def masked(self, site: str, message: bytes) -> None:
        if site not in self._senders or site in self._in_sum:
            raise MaskingRefused("not-in-roster")
        self.check_size(message)
        np.add(self._sum, np.frombuffer(message, "<u4"), out=self._sum)
        self._in_sum.add(site)

    def survivors(self) -> bytes:
        """Close step 3: what every survivor is told in step 4."""
        self._survivors = self._circle.check_part(sorted(self._in_sum), self._senders)
        return Survivors(sites=self._survivors).canonical()

    # Step 4

    def confirmed(self, site: str, message: bytes) -> None:
        told = read(Confirmed, message)
        if told.site != site or site not in self._survivors:
            raise MaskingRefused("not-in-roster")
        if not self._verify(site, self._circle.agreed(self._survivors), told.signature):
            raise MaskingRefused("bad-signature")
        self._confirmed[site] = told

    def confirmations(self) -> bytes:
        """Close step 4: what every site that signed is told in step 5."""
        signers = self._circle.check_part(sorted(self._confirmed), self._survivors)
        return Confirmations(sites=tuple(self._confirmed[site] for site in signers)).canonical()

    # Step 5

    def revealed(self, site: str, message: bytes) -> None:
        told = read(Revealed, message)
        alive = set(self._survivors)
        wanted = [(of, "self-mask" if of in alive else "key") for of in self._senders]
        if site not in self._confirmed or [(one.of, one.kind) for one in told.shares] != wanted:
            raise MaskingRefused("shares-missing")
        self._revealed[site] = told

    def unmask(self) -> None:
        """Close step 5: take the masks off the sum.

        1. enough sites revealed their shares;
        2. each survivor's self-mask is what its commitment says, and comes off the sum;
        3. each dropped site's masking key is the one that it advertised, and its masks with the survivors come off.
        """
        circle = self._circle
        circle.check_part(sorted(self._revealed), self._survivors)
        for place, of in enumerate(self._senders):
            shares = {circle.place(site): told.shares[place].share for site, told in self._revealed.items()}
            secret = join(shares, needed=circle.needed)
            if of in self._survivors:
                if commitment(secret) != self._shares[of].self_mask:
                    raise MaskingRefused("shares-differ")
                mask(self._sum, secret, -1)
                continue
            if public_of(secret) != circle.sites[of].masking:
                raise MaskingRefused("shares-differ")
            for survivor in self._survivors:
                shared = mask_seed(secret, circle.sites[survivor].masking, circle.bound_to)
                # The survivor's own sign, the other way round.
                mask(self._sum, shared, cast(Literal[1, -1], -sign_of(survivor, of)))
        self._unmasked = True

    def result(self) -> NDArray[np.float64]:
        """The weighted mean of the survivors' updates. Raises `MaskingRefused`: `out-of-turn`, it is masked still."""
        if not self._unmasked:
            raise MaskingRefused("out-of-turn")
        weight = sum(self._circle.sites[site].weight for site in self._survivors)
        return self._circle.coding.decode(self._sum, weight)
