"""The protocol data units of the DICOM upper layer, as bytes (PS3.8 section 9.3, PS3.7 Annex D.3.3)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from wardround.dicom.header_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
HEADER = struct.Struct(">BxL")
"""Type and length, which every PDU begins with."""
VALUE_HEADER = struct.Struct(">LBB")
"""Length, presentation context and control of a presentation data value; the length counts the other two."""
COMMAND, LAST = 0x01, 0x02
"""The bits of a value's control: a command set or a data set, its last fragment or not (Annex E.2)."""
_ITEM = struct.Struct(">BxH")
_TITLES = slice(4, 68)
_ITEMS = 68


class PduType(IntEnum):
    """Types of PDU (9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class Fault(IntEnum):
    """Why the upper layer aborts (Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNISED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNISED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class InvalidPdu(Exception):
    """A PDU that breaks PS3.8; after it, nothing tells where the next one begins."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.name)
        self.fault = fault


class ContextResult(IntEnum):
    """What becomes of a presentation context (Table 9-18)."""

    ACCEPTED = 0
    USER_REJECTION = 1
    ABSTRACT_SYNTAX = 3
    TRANSFER_SYNTAX = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context that the requestor proposes (9.3.2.2)."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextAnswer:
    """What we answer to a proposed context (9.3.3.2); the transfer syntax counts only with ACCEPTED."""

    id: int
    result: ContextResult
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Roles:
    """Which roles the requestor takes for a SOP class (PS3.7 D.3.3.4)."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ (9.3.2). ``titles`` are the 64 bytes that the answer has to repeat.

    ``maximum_length`` is the longest P-DATA-TF that the peer takes, 0 for no limit. ``asks_window`` tells whether it
    proposed an asynchronous operations window (PS3.7 D.3.3.3). User identity and extended negotiation are read over.
    """

    version: int
    called_ae: str
    calling_ae: str
    titles: bytes
    application_context: str
    contexts: tuple[ProposedContext, ...]
    maximum_length: int
    asks_window: bool
    roles: Mapping[str, Roles]


def read_request(body: bytes) -> AssociateRequest:
    """The A-ASSOCIATE-RQ whose ``body`` follows its type and length.

    Items of a type that isn't known are read over (9.3.1).

    Raises:
        InvalidPdu: an item goes past its parent, is missing, or is repeated.
    """
    if len(body) < _ITEMS:
        raise InvalidPdu(Fault.INVALID_PARAMETER)
    application: str | None = None
    contexts: dict[int, ProposedContext] = {}
    user: bytes | None = None
    for kind, value in _items(body[_ITEMS:]):
        if kind == 0x10:
            application = _text(value)
        elif kind == 0x20:
            context = _context(value)
            if context.id in contexts:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            contexts[context.id] = context
        elif kind == 0x50:
            user = value
    if application is None or not contexts or user is None:
        raise InvalidPdu(Fault.INVALID_PARAMETER)
    maximum, window, roles = _user(user)
    return AssociateRequest(
        version=int.from_bytes(body[:2], "big"),
        called_ae=_title(body[4:20]),
        calling_ae=_title(body[20:36]),
        titles=body[_TITLES],
        application_context=application,
        contexts=tuple(contexts.values()),
        maximum_length=maximum,
        asks_window=window,
        roles=roles,
    )


def associate_ac(
    request: AssociateRequest, contexts: Sequence[ContextAnswer], roles: Mapping[str, Roles], maximum_length: int
) -> bytes:
    """An A-ASSOCIATE-AC (9.3.3): one operation at a time is what we offer where a window was asked for."""
    user = [
        _item(0x51, struct.pack(">L", maximum_length)),
        _item(0x52, IMPLEMENTATION_CLASS_UID.encode()),
        _item(0x55, IMPLEMENTATION_VERSION.encode()),
    ]
    if request.asks_window:
        user.append(_item(0x53, struct.pack(">HH", 1, 1)))
    for sop_class, role in roles.items():
        uid = sop_class.encode("latin-1")
        user.append(_item(0x54, struct.pack(">H", len(uid)) + uid + bytes((role.scu, role.scp))))
    items = [_item(0x10, APPLICATION_CONTEXT.encode())]
    for context in contexts:
        syntax = _item(0x40, context.transfer_syntax.encode("latin-1"))
        items.append(_item(0x21, bytes((context.id, 0, context.result, 0)) + syntax))
    items.append(_item(0x50, b"".join(user)))
    return _pdu(PduType.ASSOCIATE_AC, b"\0\1\0\0" + request.titles + b"".join(items))


def associate_rj(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ (9.3.4)."""
    return _pdu(PduType.ASSOCIATE_RJ, bytes((0, result, source, reason)))


def abort(source: int, fault: Fault = Fault.NOT_SPECIFIED) -> bytes:
    """An A-ABORT (9.3.8): source 0 is the user of the upper layer, 2 the layer itself."""
    return _pdu(PduType.ABORT, bytes((0, 0, source, fault)))


RELEASE_RQ = HEADER.pack(PduType.RELEASE_RQ, 4) + bytes(4)
RELEASE_RP = HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)


def data_pdus(context: int, control: int, data: bytes, maximum_length: int) -> Iterator[bytes]:
    """``data`` as P-DATA-TF PDUs (9.3.5), one value in each, none longer than the peer takes (0: no limit).

    ``control`` says whether it is a command set; the last fragment is marked here. ``maximum_length`` is 0 or above 6.
    """
    size = maximum_length - 6 if maximum_length else max(len(data), 1)
    for start in range(0, max(len(data), 1), size):
        piece = data[start : start + size]
        last = LAST if start + size >= len(data) else 0
        yield (
            HEADER.pack(PduType.DATA, len(piece) + 6)
            + VALUE_HEADER.pack(len(piece) + 2, context, control | last)
            + piece
        )


def _context(value: bytes) -> ProposedContext:
    if len(value) < 4 or value[0] % 2 == 0:
        raise InvalidPdu(Fault.INVALID_PARAMETER)
    abstract, transfer = "", []
    for kind, content in _items(value[4:]):
        if kind == 0x30:
            abstract = _text(content)
        elif kind == 0x40:
            transfer.append(_text(content))
    return ProposedContext(value[0], abstract, tuple(transfer))


def _user(value: bytes) -> tuple[int, bool, dict[str, Roles]]:
    maximum, window = 0, False
    roles: dict[str, Roles] = {}
    for kind, content in _items(value):
        if kind == 0x51:
            if len(content) != 4:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            maximum = int.from_bytes(content, "big")
            if 0 < maximum <= 6:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
        elif kind == 0x53:
            window = True
        elif kind == 0x54:
            length = int.from_bytes(content[:2], "big")
            if len(content) != length + 4:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            roles[_text(content[2:-2])] = Roles(scu=content[-2] == 1, scp=content[-1] == 1)
    return maximum, window, roles


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    pos = 0
    while pos < len(data):
        if len(data) - pos < 4:
            raise InvalidPdu(Fault.INVALID_PARAMETER)
        kind, length = _ITEM.unpack_from(data, pos)
        pos += 4
        if length > len(data) - pos:
            raise InvalidPdu(Fault.INVALID_PARAMETER)
        yield kind, data[pos : pos + length]
        pos += length


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _pdu(kind: PduType, body: bytes) -> bytes:
    return HEADER.pack(kind, len(body)) + body


def _text(value: bytes) -> str:
    # UIDs aren't padded in PDUs, but some senders do (Annex F).
    return value.decode("latin-1").rstrip("\0 ")


def _title(value: bytes) -> str:
    return value.decode("latin-1").strip("\0 ")
