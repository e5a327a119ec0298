"""Listens for HL7 v2 over MLLP: a thread a connection, a bounded number of them, each bounded in time and in bytes."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

from wardround.foundation.errors import Conflict
from wardround.node.records.mllp.acceptance import Acceptance
from wardround.node.records.mllp.framing import BrokenFrame, TooLarge, Unframer, framed

log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_BACKLOG = 32
_STOPS_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a sender may take of us. largest: bytes of a message; connections: at once; idle_seconds: between two
    messages; message_seconds: for one message to come, and for its answer to go."""

    largest: int = 1024 * 1024
    connections: int = 16
    idle_seconds: float = 600
    message_seconds: float = 60


class MllpListener:
    """Takes messages on one address until stopped.

    Args:
        senders: addresses (IPv4 or IPv6) or networks (`10.1.0.0/16`) that are let in; empty: anyone.
        port: 0 for a free one.
        tls: speak TLS only.
    """

    def __init__(
        self,
        acceptance: Acceptance,
        *,
        host: str,
        port: int,
        senders: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._acceptance = acceptance
        self._address = (host, port)
        self._senders = [ipaddress.ip_network(sender, strict=False) for sender in senders]
        self._tls = tls
        self._bounds = bounds or Bounds()
        self._seats = threading.BoundedSemaphore(self._bounds.connections)
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._wake, self._woken = socket.socketpair()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1]) if self._socket is not None else self._address[1]

    def start(self) -> None:
        """Listen.

        Raises:
            Conflict: the address can't be had.
        """
        try:
            family = socket.getaddrinfo(*self._address, type=socket.SOCK_STREAM)[0][0]
            self._socket = socket.create_server(self._address, family=family, backlog=_BACKLOG)
        except OSError as error:
            raise Conflict(
                f"[records.mllp]: port {self._address[1]} can't be had ({error.strerror}); set another"
            ) from None
        self._socket.setblocking(False)
        self._thread = threading.Thread(target=self._listen, args=(self._socket,), name="mllp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; a message that is being kept is answered first."""
        self._stopping.set()
        self._wake.send(b"\0")
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            going = dict(self._open)
        for connection in going.values():
            # Nothing more is read; what is being answered still goes; SSLSocket.shutdown would let it go in the clear.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RD)
        for thread in going:
            thread.join(_STOPS_WITHIN)
        if self._socket is not None:
            self._socket.close()
        self._wake.close()
        self._woken.close()

    def _listen(self, listening: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                if not self._stopping.is_set():
                    self._accept(listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, address = listening.accept()
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                log.warning("a connection couldn't be accepted: %s", type(error).__name__)
                self._stopping.wait(0.1)
            return
        if not self._may(str(address[0])):
            log.warning("a connection from an address that isn't among the senders was closed")
            connection.close()
        elif not self._seats.acquire(blocking=False):
            log.warning("a connection was closed: %d are open already", self._bounds.connections)
            connection.close()
        else:
            thread = threading.Thread(target=self._serve, args=(connection,), name="mllp-sender", daemon=True)
            with self._lock:
                self._open[thread] = connection
            thread.start()

    def _may(self, address: str) -> bool:
        if not self._senders:
            return True
        caller = ipaddress.ip_address(address.split("%")[0])
        # An IPv4 address as a listener for both families sees it.
        plain = caller.ipv4_mapped if isinstance(caller, ipaddress.IPv6Address) else None
        return any((plain or caller) in network for network in self._senders)

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._talk(self._opened(connection))
        except BrokenFrame:
            log.warning("a connection was closed: what it sent isn't MLLP")
        except TimeoutError:
            log.info("a connection was closed: it was silent for too long, or too slow")
        except (OSError, ssl.SSLError) as error:
            log.info("a connection ended: %s", type(error).__name__)
        finally:
            with self._lock:
                last = self._open.pop(threading.current_thread(), connection)
            with contextlib.suppress(OSError):
                last.close()
            self._seats.release()

    def _opened(self, connection: socket.socket) -> socket.socket:
        connection.settimeout(self._bounds.message_seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return connection
        secured = self._tls.wrap_socket(connection, server_side=True)
        with self._lock:
            self._open[threading.current_thread()] = secured
        return secured

    def _talk(self, connection: socket.socket) -> None:
        unframer = Unframer(self._bounds.largest)
        until = time.monotonic() + self._bounds.idle_seconds
        while not self._stopping.is_set():
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            piece = connection.recv(_CHUNK)
            if not piece:
                return
            began = unframer.inside
            unframer.feed(piece)
            try:
                while (message := unframer.next()) is not None:
                    began = False
                    self._send(connection, self._acceptance.answer(message))
                    until = time.monotonic() + self._bounds.idle_seconds
            except TooLarge as large:
                self._send(connection, self._acceptance.too_large(large.head, self._bounds.largest))
                return
            if unframer.inside and not began:
                until = time.monotonic() + self._bounds.message_seconds

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        connection.settimeout(self._bounds.message_seconds)
        connection.sendall(framed(answer))
