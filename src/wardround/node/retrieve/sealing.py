"""Keeps what was asked for sealed in the node's database.

A pull names patients. Each ask is sealed under a key of its own in the node's identity, for its job and line alone.
"""

from __future__ import annotations

from pathlib import Path

from wardround.foundation.errors import WardroundError
from wardround.foundation.sealing import KEY_BYTES, NoKey, Sealer, key_at
from wardround.node.retrieve.asks import Ask


class SealBroken(WardroundError):
    """What was asked can't be read: another key, or a row that was changed."""

    code = "seal-broken"


class Sealing:
    """Seals and opens asks. The key is made on first use, readable by its owner alone.

    Raises:
        SealBroken: the key file isn't a key.
    """

    def __init__(self, key_path: Path) -> None:
        try:
            self._sealer = Sealer(key_at(key_path))
        except NoKey as damaged:
            raise SealBroken(
                f"the key of pulls has {damaged.length} bytes, not {KEY_BYTES}; put the node's own key back"
            ) from None

    def seal(self, ask: Ask, job: int, line: int) -> bytes:
        return self._sealer.seal(ask.to_json(), _bound(job, line))

    def open(self, sealed: bytes, job: int, line: int) -> Ask:
        """The ask of a row.

        Raises:
            SealBroken: it was sealed under another key, for another row, or forgotten.
        """
        try:
            return Ask.from_json(self._sealer.open(sealed, _bound(job, line)))
        except ValueError:
            raise SealBroken("what was asked can't be read any more; ask for it again in a new pull") from None


def _bound(job: int, line: int) -> bytes:
    return f"wardround pull v1 {job} {line}".encode()
