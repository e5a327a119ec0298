"""A DICOM sender made of bytes, for tests of the wire: it can say what no library would, and reads what comes back."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

MR = "1.2.840.10008.5.1.4.1.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"

RQ, AC, RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

CONTEXTS = ((1, MR, (EXPLICIT,)), (3, VERIFICATION, (IMPLICIT,)))


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body)) + body


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def context_item(number: int, sop_class: str, syntaxes: Sequence[str]) -> bytes:
    inner = item(0x30, sop_class.encode()) + b"".join(item(0x40, one.encode()) for one in syntaxes)
    return item(0x20, bytes((number, 0, 0, 0)) + inner)


def associate_rq(
    called: str = "RESEARCH",
    calling: str = "SENDER",
    contexts: Sequence[tuple[int, str, Sequence[str]]] = CONTEXTS,
    *,
    version: int = 1,
    application: str = "1.2.840.10008.3.1.1.1",
    maximum: int = 16384,
    user: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """`user` and `more` are further items, within the user information and after it."""
    body = struct.pack(">HH", version, 0) + called.ljust(16).encode() + calling.ljust(16).encode() + bytes(range(32))
    body += item(0x10, application.encode())
    body += b"".join(context_item(*context) for context in contexts)
    body += item(0x50, item(0x51, struct.pack(">L", maximum)) + item(0x52, b"1.2.3") + user)
    return pdu(RQ, body + more)


def value(context: int, control: int, data: bytes) -> bytes:
    """A presentation data value; control 1 is a command set, 2 the last fragment."""
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def p_data(*values: bytes) -> bytes:
    return pdu(DATA, b"".join(values))


def element(number: int, content: int | str | bytes) -> bytes:
    if isinstance(content, int):
        content = struct.pack("<H", content)
    elif isinstance(content, str):
        content = content.encode()
        content += b"\0" * (len(content) % 2)
    return struct.pack("<HHL", 0, number, len(content)) + content


def command(*elements: tuple[int, int | str | bytes]) -> bytes:
    body = b"".join(element(*one) for one in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def store_rq(uid: str = "1.2.999.5.1", *, sop_class: str = MR, message: int = 1, data_set: int = 1) -> bytes:
    return command((0x0002, sop_class), (0x0100, 1), (0x0110, message), (0x0700, 0), (0x0800, data_set), (0x1000, uid))


def echo_rq(message: int = 1) -> bytes:
    return command((0x0002, VERIFICATION), (0x0100, 0x30), (0x0110, message), (0x0800, 0x0101))


def store(data: bytes = b"data", uid: str = "1.2.999.5.1", *, message: int = 1, size: int = 4096) -> bytes:
    """A C-STORE on context 1, its data set in pieces of `size`."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    return p_data(value(1, 3, store_rq(uid, message=message))) + b"".join(
        p_data(value(1, 2 if number == len(pieces) else 0, piece)) for number, piece in enumerate(pieces, start=1)
    )


def echo(message: int = 1, context: int = 3) -> bytes:
    return p_data(value(context, 3, echo_rq(message)))


RELEASE = pdu(RELEASE_RQ, bytes(4))
RELEASE_ANSWER = pdu(RELEASE_RP, bytes(4))
ABORTED = pdu(ABORT, bytes(4))


def elements_of(data: bytes) -> dict[int, bytes]:
    """The elements of a command set."""
    found, pos = {}, 0
    while pos < len(data):
        group, number, length = struct.unpack_from("<HHL", data, pos)
        assert group == 0
        found[number] = data[pos + 8 : pos + 8 + length]
        pos += 8 + length
    assert pos == len(data)
    return found


def number_of(elements: dict[int, bytes], tag: int) -> int:
    return int(struct.unpack("<H", elements[tag])[0])


def split_pdus(data: bytes) -> list[tuple[int, bytes]]:
    """Type and body of each of the PDUs that `data` holds."""
    found, pos = [], 0
    while pos < len(data):
        kind, _, length = struct.unpack_from(">BBL", data, pos)
        found.append((kind, data[pos + 6 : pos + 6 + length]))
        pos += 6 + length
    assert pos == len(data)
    return found


class Caller:
    """A connection to a receiver. Every wait ends after 20 seconds, with an error."""

    def __init__(self, port: int, *, connection: socket.socket | None = None) -> None:
        self.connection = connection or socket.create_connection(("127.0.0.1", port), timeout=20)
        self.connection.settimeout(20)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def read(self) -> tuple[int, bytes] | None:
        """The next PDU's type and body; None once the connection is closed."""
        head = self._take(6)
        if head is None:
            return None
        kind, _, length = struct.unpack(">BBL", head)
        body = self._take(length)
        assert body is not None, "a PDU was cut off"
        return kind, body

    def associate(self, request: bytes | None = None) -> bytes:
        """Ask for an association and have it; the body of the answer."""
        self.send(request or associate_rq())
        answer = self.read()
        assert answer is not None and answer[0] == AC, f"not accepted but {answer}"
        return answer[1]

    def answer(self) -> dict[int, bytes]:
        """The next command set, which has to come in whole values."""
        data = b""
        while True:
            got = self.read()
            assert got is not None and got[0] == DATA, f"no answer but {got}"
            length, _context, control = struct.unpack_from(">LBB", got[1])
            assert length + 4 == len(got[1])
            data += got[1][6:]
            if control & 2:
                return elements_of(data) if control & 1 else {-1: data}

    def status(self) -> int:
        return number_of(self.answer(), 0x0900)

    def rest(self) -> list[tuple[int, bytes]]:
        """What comes until the connection is closed."""
        return list(iter(self.read, None))

    def _take(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                piece = self.connection.recv(size - len(data))
            except ConnectionResetError:
                return None
            if not piece:
                assert not data, "a PDU was cut off"
                return None
            data += piece
        return data


class Shelf:
    """A landing that keeps what comes, and does as told about the rest. Streams are told apart by object."""

    def __init__(self) -> None:
        self.headers: list[object] = []
        self.stored: dict[str, bytes] = {}
        self.abandoned: list[str] = []
        self.pieces: list[int] = []
        self.open_objects = 0

    def open(self, header: object) -> _Slot:
        self.headers.append(header)
        self.open_objects += 1
        return _Slot(self, header)


class _Slot:
    def __init__(self, shelf: Shelf, header: object) -> None:
        self._shelf = shelf
        self._uid = str(header.sop_instance_uid)  # type: ignore[attr-defined]  # a StoreHeader
        self._data = bytearray()

    def write(self, piece: memoryview | bytes) -> None:
        self._shelf.pieces.append(len(piece))
        self._data += piece

    def commit(self) -> object:
        from wardround.dicom.network import Accepted

        self._shelf.open_objects -= 1
        self._shelf.stored[self._uid] = bytes(self._data)
        return Accepted()

    def abandon(self) -> None:
        self._shelf.open_objects -= 1
        self._shelf.abandoned.append(self._uid)
