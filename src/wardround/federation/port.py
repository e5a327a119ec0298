"""A local port between a program and the engine's own processes: requests and answers, JSON and bytes.

The engine's job processes hold no data and no torch; what they need they ask of the hub's program or of the
node's training process over 127.0.0.1. The address and a fresh key lie in a file of mode 0600 in the owner's
home; both sides prove that they know the key (the challenge of :mod:`multiprocessing.connection`, HMAC) before
anything else is read. Messages are a JSON head and raw bytes; nothing is ever unpickled.

A model doesn't pass through the port: it lies in a file, and its path is told. The serving program takes none but plain
files of the port's own folder, which lies beside the address file, so that nobody can have it read another.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import socket
import stat
import threading
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

from wardround.federation.engine import Declined, EngineError, UpdateRefused
from wardround.federation.messages import MessageInvalid
from wardround.foundation.files import write_whole
from wardround.foundation.stored import Held, Stored

HEAD_LIMIT = 16 * 1024 * 1024
PAYLOAD_LIMIT = 8 * 1024**3

log = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], Held]


class PortClosed(EngineError):
    """The other side of a port has gone, or was never there."""


class Peer:
    """One authenticated connection, as the serving side sees it. ``notes`` is for the handler's own use."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._sending = threading.Lock()
        self.notes: dict[str, Any] = {}

    def send(self, head: dict[str, Any], payload: Held = b"") -> None:
        """Send one message. Raises :class:`PortClosed`."""
        with self._sending:
            self._line.send(head, payload)

    def close(self) -> None:
        self._line.close()


Handler = Callable[[Peer, str, dict[str, Any], Held], Answer]


def folder_of(address_file: Path) -> Path:
    """Where files lie that are handed over through the port of this address."""
    return address_file.parent / f"{address_file.name}.files"


class PortServer:
    """Serves a handler at 127.0.0.1 until :meth:`close`. The handler runs in a thread for each connection.

    ``handler(peer, operation, meta, payload)`` returns ``(meta, payload)``. What it raises of
    :class:`UpdateRefused`, :class:`Declined`, :class:`EngineError` and :class:`KeyError` goes back by kind and
    reason; any other error goes back as ``failed`` and into this program's log. ``on_close(peer)`` is called once
    when a connection ends, however it ends.
    """

    def __init__(self, handler: Handler, address_file: Path, on_close: Callable[[Peer], None] | None = None):
        self._handler = handler
        self._on_close = on_close or (lambda peer: None)
        self._key = secrets.token_bytes(32)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._peers: set[Peer] = set()
        self._lock = threading.Lock()
        self._closed = False
        self.address_file = address_file
        self.folder = folder_of(address_file)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        address = {"port": self._socket.getsockname()[1], "key": self._key.hex()}
        write_whole(address_file, json.dumps(address).encode(), mode=0o600)
        threading.Thread(target=self._accept, name="port-accept", daemon=True).start()

    def close(self) -> None:
        """Stop serving and cut all connections. May be called again."""
        with self._lock:
            self._closed = True
            peers = list(self._peers)
        self.address_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for peer in peers:
            peer.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), name="port-peer", daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        line = _Line(accepted)
        try:
            line.prove(self._key, serving=True)
        except PortClosed:
            line.close()
            return
        peer = Peer(line)
        with self._lock:
            if self._closed:
                line.close()
                return
            self._peers.add(peer)
        try:
            self._converse(peer, line)
        finally:
            with self._lock:
                self._peers.discard(peer)
            peer.close()
            self._on_close(peer)

    def _converse(self, peer: Peer, line: _Line) -> None:
        while True:
            try:
                head, payload = line.receive(self.folder)
                operation = head.get("op")
                meta = head.get("meta")
                if not isinstance(operation, str) or not isinstance(meta, dict):
                    raise MessageInvalid("a request needs an operation and an object")
            except (PortClosed, MessageInvalid):
                return
            answer = self._answer(peer, operation, meta, payload)
            try:
                peer.send(*answer)
            except PortClosed:
                return

    def _answer(self, peer: Peer, operation: str, meta: dict[str, Any], payload: Held) -> Answer:
        try:
            result, body = self._handler(peer, operation, meta, payload)
        except UpdateRefused as error:
            return {"error": "refused", "reason": error.reason}, b""
        except Declined as error:
            return {"error": "declined", "reason": error.reason}, b""
        except (EngineError, KeyError, MessageInvalid) as error:
            return {"error": "engine", "reason": str(error)}, b""
        except Exception:
            # The handler is the program's own code and may fail in any way; the engine's process on the other
            # side must hear of it now rather than wait for a deadline. The details stay in this program's log.
            log.exception("port operation %s failed", operation)
            return {"error": "failed", "reason": "internal-error"}, b""
        return {"meta": result}, body


class PortFailure(EngineError):
    """The other side failed while it worked on a request; details are in its own log."""


class PortClient:
    """One connection to a :class:`PortServer`. Calls are serialised; open another for work side by side."""

    def __init__(self, address_file: Path) -> None:
        """Connect. Raises :class:`PortClosed` if nothing serves there or the key is wrong."""
        self.folder = folder_of(address_file)
        try:
            address = json.loads(address_file.read_bytes())
            port, key = int(address["port"]), bytes.fromhex(address["key"])
            connected = socket.create_connection(("127.0.0.1", port), timeout=10)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PortClosed("the local port doesn't answer") from error
        connected.settimeout(None)
        self._line = _Line(connected)
        try:
            self._line.prove(key, serving=False)
        except PortClosed:
            self._line.close()
            raise
        self._lock = threading.Lock()

    def call(self, operation: str, meta: dict[str, Any], payload: Held = b"") -> Answer:
        """Ask and wait for the answer, however long it takes.

        Raises :class:`UpdateRefused`, :class:`Declined`, :class:`PortFailure`, :class:`PortClosed` or
        :class:`EngineError` as the other side said.
        """
        with self._lock:
            self._line.send({"op": operation, "meta": meta}, payload)
            head, body = self._line.receive()
        kind, reason = head.get("error"), str(head.get("reason", ""))
        if kind == "refused":
            raise UpdateRefused(reason)
        if kind == "declined":
            raise Declined(reason)
        if kind == "failed":
            raise PortFailure(reason)
        if kind is not None:
            raise EngineError(reason)
        result = head.get("meta")
        if not isinstance(result, dict):
            raise PortClosed("the local port gave no answer")
        return result, body

    def receive(self) -> Answer:
        """Wait for a message that the serving side sends by itself. Raises :class:`PortClosed`."""
        return self._line.receive()

    def close(self) -> None:
        self._line.close()


class _Line:
    """A connected socket with message boundaries, which one thread may close while another reads."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected.dup()
        # Never closed by hand: a descriptor that another thread reads from must not be given away. It closes with
        # the last reference, after the reader saw the end that shutdown() makes.
        self._connection = Connection(connected.detach())

    def prove(self, key: bytes, *, serving: bool) -> None:
        """Both sides show that they know the key. Raises :class:`PortClosed`."""
        steps = (deliver_challenge, answer_challenge)
        try:
            for step in steps if serving else reversed(steps):
                step(self._connection, key)
        except (AuthenticationError, EOFError, OSError) as error:
            raise PortClosed("the local port doesn't accept the key") from error

    def send(self, head: dict[str, Any], payload: Held) -> None:
        told = {**head, "size": len(payload)}
        if isinstance(payload, Stored):
            told["file"] = str(payload.path)
        try:
            self._connection.send_bytes(json.dumps(told, allow_nan=False).encode())
            if isinstance(payload, bytes) and payload:
                self._connection.send_bytes(payload)
        except (OSError, EOFError) as error:
            raise PortClosed("the local port was closed") from error

    def receive(self, folder: Path | None = None) -> Answer:
        """The next message. `folder`: where a file that it names has to lie; None: anywhere."""
        try:
            head = json.loads(self._connection.recv_bytes(HEAD_LIMIT))
            size = head.pop("size", 0) if isinstance(head, dict) else -1
            if not isinstance(size, int) or not 0 <= size <= PAYLOAD_LIMIT:
                raise PortClosed("the local port sent nonsense")
            if "file" in head:
                return head, _file(Path(str(head.pop("file"))), size, folder)
            payload = self._connection.recv_bytes(size) if size else b""
        except (OSError, EOFError, ValueError) as error:
            raise PortClosed("the local port was closed") from error
        if len(payload) != size:
            raise PortClosed("the local port sent nonsense")
        return head, payload

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _file(path: Path, size: int, folder: Path | None) -> Stored:
    """Raises :class:`PortClosed` for what isn't a plain file of that size, or lies elsewhere than in `folder`."""
    try:
        found = path.lstat()
    except OSError as error:
        raise PortClosed("the local port names a file that isn't there") from error
    if not stat.S_ISREG(found.st_mode) or found.st_size != size or folder not in (None, path.parent):
        raise PortClosed("the local port sent nonsense")
    return Stored(path, size)
