"""Rounds over FLARE's own messaging: one request channel, answered when there is something to say.

A site pulls the next round and waits in that request until the hub's aggregate is ready, so that no timer sits
in a round. Arrays travel in pieces of at most 2 MiB, each in a request of its own, and lie in files on both sides: an
update is the leg's once its last piece is here, and until then takes disk up to what the round allows and no memory.
What goes to the sites is packed on the way, piece by piece; an update was packed by the node.
The site's name is taken from the origin of the message,
which FLARE ties to the certificate of the connection and to the token that it gave at registration; nothing in
the message can claim another.
"""

from __future__ import annotations

import json
from typing import Any

from wardround.federation.messages import MessageInvalid
from wardround.foundation.stored import PIECE

CHANNEL = "wardround"
TOPIC = "leg"
PULL_SECONDS = 20.0
DELIVERY_SECONDS = 120.0
"""How long a site waits for its update to be looked at, admitted and counted, before it asks again."""


def encode(head: dict[str, Any], body: bytes | memoryview = b"") -> bytes:
    """A message's payload: the length of its head (4 bytes, big-endian), the head as JSON, the body."""
    text = json.dumps(head, allow_nan=False).encode()
    return b"".join((len(text).to_bytes(4, "big"), text, body))


def decode(payload: Any) -> tuple[dict[str, Any], memoryview]:
    """Raises :class:`MessageInvalid`."""
    if not isinstance(payload, bytes | bytearray | memoryview) or len(payload) < 4:
        raise MessageInvalid("not a message of this channel")
    view = memoryview(payload)
    size = int.from_bytes(view[:4], "big")
    if size > len(view) - 4:
        raise MessageInvalid("the message is cut short")
    try:
        head = json.loads(bytes(view[4 : 4 + size]))
    except ValueError as error:
        raise MessageInvalid("the head isn't JSON") from error
    if not isinstance(head, dict):
        raise MessageInvalid("the head isn't an object")
    return head, view[4 + size :]


def pieces_of(size: int) -> int:
    return max(1, -(-size // PIECE))
