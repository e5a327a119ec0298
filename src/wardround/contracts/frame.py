"""A message with an attachment as one body: a length, JSON, then raw bytes.

Layout: 4 bytes big-endian length of the JSON part, the JSON part (UTF-8), the attachment to the end. It is
what node and hub exchange over HTTPS, so that a model of hundreds of megabytes never passes through base64.
"""

from __future__ import annotations

MEDIA_TYPE = "application/vnd.wardround.frame"
LARGEST_HEADER = 8 * 1024 * 1024


class FrameRefused(ValueError):
    """The bytes are not a frame."""


def pack(header: bytes, attachment: bytes = b"") -> bytes:
    """One body of `header` (JSON, UTF-8) and `attachment`.

    Raises:
        FrameRefused: the header is larger than 8 MiB.
    """
    if len(header) > LARGEST_HEADER:
        raise FrameRefused(f"the message is {len(header)} bytes; at most {LARGEST_HEADER} go in one frame")
    return len(header).to_bytes(4, "big") + header + attachment


def unpack(body: bytes) -> tuple[bytes, bytes]:
    """The header and the attachment of `body`.

    Raises:
        FrameRefused: the body is shorter than it says, or its header is larger than 8 MiB.
    """
    if len(body) < 4:
        raise FrameRefused("the frame is shorter than its length field")
    size = int.from_bytes(body[:4], "big")
    if size > LARGEST_HEADER or size > len(body) - 4:
        raise FrameRefused("the frame is shorter than it says")
    return body[4 : 4 + size], body[4 + size :]
