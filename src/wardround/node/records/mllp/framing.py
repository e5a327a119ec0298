"""Messages out of a stream of bytes, as MLLP marks them: 0B, the message, 1C 0D.

Source: HL7 Transport Specification: MLLP, release 1 (the minimal one, of which release 2 is an extension).
"""

from __future__ import annotations

START, END = b"\x0b", b"\x1c\x0d"
_MOST_BETWEEN = 4096


class BrokenFrame(Exception):
    """The stream isn't MLLP; where the next message begins can't be told any more."""


class TooLarge(Exception):
    """A message is longer than agreed. `head` is how it begins."""

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self.head = head


def framed(message: bytes) -> bytes:
    """A message as it travels."""
    return START + message + END


class Unframer:
    """Takes bytes as they come and gives messages; holds at most one of `largest` bytes."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._held = bytearray()
        self._inside = False
        self._looked = 0

    @property
    def inside(self) -> bool:
        """Whether a message has begun and hasn't ended."""
        return self._inside

    def feed(self, piece: bytes) -> None:
        self._held += piece

    def next(self) -> bytes | None:
        """The next whole message, None if more has to come first.

        Raises:
            BrokenFrame: something other than ends of lines stands between two messages, or a start within one.
            TooLarge: the message is longer than agreed.
        """
        if not self._inside and not self._begun():
            return None
        end = self._held.find(END, self._looked)
        length = end if end >= 0 else len(self._held) - 1
        if self._held.find(START, self._looked, len(self._held) if end < 0 else end) >= 0:
            raise BrokenFrame
        if length > self._largest:
            raise TooLarge(bytes(self._held[:_MOST_BETWEEN]))
        if end < 0:
            # The two bytes of the end may come apart.
            self._looked = max(0, len(self._held) - 1)
            return None
        message = bytes(self._held[:end])
        del self._held[: end + len(END)]
        self._inside, self._looked = False, 0
        return message

    def _begun(self) -> bool:
        start = self._held.find(START)
        between = bytes(self._held[: start if start >= 0 else len(self._held)])
        if between.strip(b"\r\n \x00") or len(between) > _MOST_BETWEEN:
            raise BrokenFrame
        if start < 0:
            self._held.clear()
            return False
        del self._held[: start + 1]
        self._inside, self._looked = True, 0
        return True
