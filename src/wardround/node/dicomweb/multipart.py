"""Messages of several parts (RFC 2387, RFC 2046 5.1): read as they stream in, written as they stream out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from wardround.node.dicomweb.failure import WebFailure, bad_request

LONGEST_HEADER = 8192
MOST_PARTS = 100_000
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `kind` is its media type, lower case, without parameters."""

    kind: str
    body: bytes = field(repr=False)


def media_type(header: str) -> tuple[str, dict[str, str]]:
    """A Content-Type as its type, lower case, and its parameters."""
    pieces = re.findall(r'((?:[^;"]|"(?:[^"\\]|\\.)*")+)', header)
    parameters: dict[str, str] = {}
    for piece in pieces[1:]:
        name, mark, value = piece.partition("=")
        if mark:
            parameters.setdefault(name.strip().lower(), value.strip().strip('"'))
    return (pieces[0].strip().lower() if pieces else ""), parameters


def boundary_of(parameters: dict[str, str]) -> bytes:
    """The boundary of a multipart Content-Type.

    Raises:
        WebFailure: 400, there is none or it isn't one (RFC 2046 5.1.1).
    """
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary) or boundary.endswith(" "):
        raise bad_request("the multipart message has no boundary that can be used")
    return boundary.encode("ascii")


class PartReader:
    """Takes a message in pieces of any size and gives its parts as they become whole.

    Args:
        largest: bytes of a part above which the message is refused, for it is held in memory.
    """

    def __init__(self, boundary: bytes, *, largest: int) -> None:
        self._mark = b"\r\n--" + boundary
        self._largest = largest
        # The first boundary may stand at the very start, without the line break before it.
        self._data = bytearray(b"\r\n")
        self._searched = 0
        self._started = False
        self._parts = 0
        self.ended = False

    def feed(self, piece: bytes) -> Iterator[Part]:
        """The parts that `piece` completes.

        Raises:
            WebFailure: 400 for a message that can't be read, 413 for a part that is too large.
        """
        if self.ended:
            return
        self._data += piece
        while not self.ended:
            found = self._data.find(self._mark, self._searched)
            if found < 0:
                self._searched = max(0, len(self._data) - len(self._mark))
                if len(self._data) > self._largest + LONGEST_HEADER:
                    raise WebFailure(413, "a part is larger than this node takes")
                return
            line_end = self._data.find(b"\r\n", found + len(self._mark))
            tail = bytes(self._data[found + len(self._mark) : found + len(self._mark) + 2])
            if tail != b"--" and line_end < 0:
                if len(self._data) - found > LONGEST_HEADER:
                    raise bad_request("a boundary's line doesn't end")
                self._searched = found
                return
            if self._started:
                yield self._part(bytes(self._data[:found]))
            self._started = True
            if tail == b"--":
                self.ended = True
                self._data.clear()
                return
            if self._data[found + len(self._mark) : line_end].strip(b" \t"):
                # The mark is the beginning of something longer: no boundary of this message.
                raise bad_request("a part holds the message's own boundary")
            # The line break stays: the header's end is found by it, also where there is no header.
            del self._data[:line_end]
            self._searched = 0

    def _part(self, raw: bytes) -> Part:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise bad_request("the message has too many parts")
        end = raw.find(b"\r\n\r\n", 0, LONGEST_HEADER)
        if end < 0:
            raise bad_request("a part has no end of its header")
        kind = ""
        for line in raw[:end].split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-type":
                kind = media_type(value.decode("latin-1"))[0]
        body = raw[end + 4 :]
        if len(body) > self._largest:
            raise WebFailure(413, "a part is larger than this node takes")
        return Part(kind, body)


class PartWriter:
    """The pieces of a message: for each part `head`, then its bytes; at the end `tail`."""

    def __init__(self, kind: str) -> None:
        self._boundary = f"wardround-{secrets.token_hex(16)}"
        self.content_type = f'multipart/related; type="{kind}"; boundary="{self._boundary}"'

    def head(self, kind: str, *, location: str = "") -> bytes:
        lines = [f"\r\n--{self._boundary}", f"Content-Type: {kind}"]
        if location:
            lines.append(f"Content-Location: {location}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def tail(self) -> bytes:
        return f"\r\n--{self._boundary}--\r\n".encode("ascii")
