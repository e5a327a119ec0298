"""How many witnesses make a quorum.

Of n witnesses, up to f of whom may cosign two trees, a quorum is more than (n + f) / 2. Any two quorums then
share more than f witnesses, so at least one who never cosigns two trees: two trees of one ledger can't both have
a quorum. With f = 0 that is a plain majority. A federation sets f at its founding; to still reach a quorum while
f don't answer, it needs n > 3f.
"""

from __future__ import annotations


def quorum(witnesses: int, faults: int = 0) -> int:
    """The smallest whole number above (``witnesses`` + ``faults``) / 2.

    Raises:
        ValueError: no witness, or as many faults as witnesses: no number of cosignatures would mean anything.
    """
    if not 0 <= faults < witnesses:
        raise ValueError(f"no quorum among {witnesses} witnesses of whom {faults} may fail")
    return (witnesses + faults) // 2 + 1


def is_quorum(cosigned: int, witnesses: int, faults: int = 0) -> bool:
    """Whether ``cosigned`` of ``witnesses`` are a quorum; never, where there is none to be had."""
    return 0 <= faults < witnesses and cosigned >= quorum(witnesses, faults)
