"""One connection, read through one buffer that is used again and again."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from typing import Protocol

from wardround.dicom.network_pdu import HEADER

BUFFER = 1 << 18
"""Bytes held of a connection; what an object has more than this never is in memory at once."""


class Closed(Exception):
    """The peer has closed the connection, or it broke."""


class Late(Exception):
    """Nothing, or too little, came within its time."""


class Stopped(Exception):
    """The receiver is stopping."""


class Stream(Protocol):
    """What is used of a socket."""

    def recv_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0, /) -> int: ...

    def sendall(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...


class Wire:
    """Reads and writes a connection. One thread uses it; `stop` may come from another.

    A `deadline` is a moment of the monotonic clock. It is looked at whenever `stream` gives up waiting, and after
    each arrival, so a peer that sends a byte now and then doesn't put it off.

    Args:
        stream: a connected socket that gives up waiting after a while (see `patient`).
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = memoryview(bytearray(BUFFER))
        self._start = 0
        self._end = 0
        self._stopping = False

    @property
    def begun(self) -> bool:
        """Whether something is here that wasn't read yet."""
        return self._end > self._start

    def header(self, deadline: float) -> tuple[int, int]:
        """The type and the length of the next PDU."""
        if self._end - self._start < 6:
            self._need(6, deadline)
        start = self._start
        self._start = start + 6
        kind, length = HEADER.unpack_from(self._buffer, start)
        return kind, length

    def unpack(self, form: struct.Struct, deadline: float) -> tuple[int, ...]:
        """The next few bytes as ``form`` says."""
        size = form.size
        if self._end - self._start < size:
            self._need(size, deadline)
        start = self._start
        self._start = start + size
        return form.unpack_from(self._buffer, start)

    def piece(self, most: int, deadline: float) -> memoryview:
        """What there is, at least 1 byte and at most ``most``; it holds until the next call."""
        start = self._start
        if start == self._end:
            self._start = self._end = start = 0
            self._receive(deadline)
        stop = min(self._end, start + most)
        self._start = stop
        return self._buffer[start:stop]

    def take(self, size: int, deadline: float) -> bytes:
        """A copy of the next ``size`` bytes, which grows as they come."""
        data = bytearray()
        while size:
            piece = self.piece(size, deadline)
            data += piece
            size -= len(piece)
        return bytes(data)

    def skip(self, size: int, deadline: float) -> None:
        """Drop the next ``size`` bytes."""
        while size:
            size -= len(self.piece(size, deadline))

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self._stream.sendall(data)
        except (OSError, ValueError) as error:
            raise Closed from error

    def stop(self) -> None:
        """Have the reading thread end with `Stopped`, soon also if it waits."""
        self._stopping = True
        if isinstance(self._stream, socket.socket):
            # Not the method of SSLSocket, which would take the encryption away under the reading thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._stream, socket.SHUT_RD)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._stream.close()

    def _need(self, size: int, deadline: float) -> None:
        unread = self._end - self._start
        self._buffer[:unread] = self._buffer[self._start : self._end]
        self._start, self._end = 0, unread
        while self._end < size:
            self._receive(deadline)

    def _receive(self, deadline: float) -> None:
        while not self._stopping:
            try:
                count = self._stream.recv_into(self._buffer[self._end :])
            except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
                if time.monotonic() >= deadline:
                    raise Late from None
                continue
            except (OSError, ValueError) as error:
                if self._stopping:
                    break
                raise Closed from error
            if self._stopping:
                break
            if not count:
                raise Closed
            self._end += count
            if time.monotonic() >= deadline:
                raise Late
            return
        raise Stopped


def patient(connection: socket.socket, seconds: float) -> None:
    """Have ``connection`` give up waiting after ``seconds``, and send each answer at once.

    A plain socket is told so by the system, which saves a call before each read; with TLS it takes Python's own
    way. Nagle's algorithm would hold each short answer back for tens of milliseconds.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(seconds)
        return
    connection.settimeout(None)
    whole = int(seconds)
    interval = struct.pack("@ll", whole, max(int((seconds - whole) * 1e6), 0 if whole else 1000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
