"""Which of a hospital's patients are held out from training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256

HELD_OUT_SHARE = 0.25


@dataclass(frozen=True)
class Split:
    """Names of cases, each in exactly one of the two, sorted."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


def split(sizes: Mapping[str, float], *, seed: int, held_out_share: float = HELD_OUT_SHARE) -> Split:
    """Hold out about `held_out_share` of the cases, so that small and large tumours are in both parts.

    `sizes` is the tumour volume of each case by its name (any unit; only its order counts). The cases are put
    in order of size and cut into as many runs of neighbours as cases are to be held out; of each run one case
    is held out, chosen by a hash of seed and names; where only one is held out of three or more, it is neither
    the smallest nor the largest. So the same hospital, names and seed give the same split on every machine and
    whatever the order of `sizes`, and no seed can hold out only the smallest tumours. At least one case is on
    either side.

    Raises:
        ValueError: there are fewer than two cases, or the share isn't between 0 and 1.
    """
    if len(sizes) < 2:
        raise ValueError(f"{len(sizes)} labelled case(s): a split needs at least 2, one to train on, one held out")
    if not 0 < held_out_share < 1:
        raise ValueError(f"the held-out share {held_out_share} is not between 0 and 1")
    ordered = sorted(sizes, key=lambda name: (sizes[name], _draw(seed, name)))
    groups = min(len(ordered) - 1, max(1, round(held_out_share * len(ordered))))
    held_out = set()
    for group in range(groups):
        members = ordered[group * len(ordered) // groups : (group + 1) * len(ordered) // groups]
        if groups == 1 and len(members) > 2:
            members = members[1:-1]
        held_out.add(min(members, key=lambda name: _draw(seed, name)))
    return Split(
        training=tuple(sorted(set(ordered) - held_out)),
        held_out=tuple(sorted(held_out)),
    )


def apart(names: Collection[str], *, seed: int, held_out_share: float = HELD_OUT_SHARE) -> Split:
    """Hold out each case with the chance `held_out_share`, by a hash of seed and name and of nothing else.

    So no case's being there moves another to the other side, as it may in `split`: without that a bound on what one
    patient changes in training would not hold. There may be none on one side.
    """
    least = int(held_out_share * 2**256)
    held_out = {name for name in names if int.from_bytes(_draw(seed, name), "big") < least}
    return Split(training=tuple(sorted(set(names) - held_out)), held_out=tuple(sorted(held_out)))


def _draw(seed: int, name: str) -> bytes:
    return sha256(f"wardround-split-1\n{seed}\n{name}".encode()).digest()
