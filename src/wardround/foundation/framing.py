"""Reading a frame (`contracts.frame`) as it comes in, so that a large attachment is joined once."""

from __future__ import annotations

from wardround.contracts.frame import LARGEST_HEADER, FrameRefused


class FrameReader:
    """Takes a body in pieces and gives its header and attachment.

    Args:
        largest: how many bytes the whole body may have.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._start = bytearray()
        self._pieces: list[bytes] = []
        self._header: bytes | None = None
        self._size = 0

    @property
    def header(self) -> bytes | None:
        """The header, once it is whole."""
        return self._header

    def tighten(self, largest: int) -> None:
        """Allow the whole body `largest` bytes from now on.

        Raises:
            FrameRefused: it has more already.
        """
        self._largest = largest
        self.feed(b"")

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            FrameRefused: the body, or the header that it announces, is too large.
        """
        self._size += len(piece)
        if self._size > self._largest:
            raise FrameRefused(f"the body is larger than {self._largest} bytes")
        if self._header is not None:
            self._pieces.append(piece)
            return
        self._start += piece
        if len(self._start) < 4:
            return
        length = int.from_bytes(self._start[:4], "big")
        if length > min(LARGEST_HEADER, self._largest):
            raise FrameRefused("the frame's header is too large")
        if len(self._start) >= 4 + length:
            self._header = bytes(self._start[4 : 4 + length])
            self._pieces.append(bytes(self._start[4 + length :]))
            self._start.clear()

    def finish(self) -> tuple[bytes, bytes]:
        """The header and the attachment.

        Raises:
            FrameRefused: the body ended early.
        """
        if self._header is None:
            raise FrameRefused("the frame is shorter than it says")
        return self._header, b"".join(self._pieces)
