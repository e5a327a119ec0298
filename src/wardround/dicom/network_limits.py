"""What a receiver waits for and how much it takes, so that no sender can hold or fill it."""

from __future__ import annotations

from dataclasses import dataclass

MAXIMUM_PDU = 131072
"""The longest P-DATA-TF that we ask peers to send, in bytes (PS3.8 Annex D.1)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a receiver's associations. Times are in seconds, sizes in bytes.

    Attributes:
        maximum_pdu: the longest P-DATA-TF taken; longer ones end the association.
        artim_seconds: the ARTIM timer (PS3.8 9.1.5): for the request to come, for the peer to close at the end, and for
            a TLS handshake.
        stall_seconds: how long a message may stand still, and how long one PDU may take, before an abort.
        idle_seconds: how long an association may be open with nothing asked, before it is released.
        request_bytes: the longest A-ASSOCIATE-RQ.
        command_bytes: the longest command set.
        action_bytes: the longest data set of an N-ACTION; a storage commitment request has some 100 an instance.

    Raises:
        ValueError: one of them is out of its range.
    """

    maximum_pdu: int = MAXIMUM_PDU
    artim_seconds: float = 30.0
    stall_seconds: float = 60.0
    idle_seconds: float = 300.0
    request_bytes: int = 1 << 18
    command_bytes: int = 1 << 14
    action_bytes: int = 1 << 24

    def __post_init__(self) -> None:
        if not 4096 <= self.maximum_pdu <= 1 << 30:
            raise ValueError("maximum_pdu is from 4096 to 1073741824 bytes")
        if min(self.artim_seconds, self.stall_seconds, self.idle_seconds) <= 0:
            raise ValueError("artim_seconds, stall_seconds and idle_seconds are above 0")
        if min(self.request_bytes, self.command_bytes, self.action_bytes) < 1024:
            raise ValueError("request_bytes, command_bytes and action_bytes are 1024 or more")
