"""Why a masked round isn't gone on with."""

from __future__ import annotations


class MaskingRefused(ValueError):
    """A step of a masked round that is not done; the round is over for whoever refused. `reason` is a code that may
    leave a node.

    Codes: ``out-of-turn``, ``masking-unreadable``, ``masking-differs`` (another round, model or plan than here),
    ``too-few-sites``, ``roster-twice``, ``not-in-roster``, ``bad-signature``, ``key-refused``, ``shares-missing``,
    ``shares-unreadable``, ``shares-differ``, ``not-finite``, ``out-of-range``, ``wrong-size``, ``too-coarse``.
    """

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason
