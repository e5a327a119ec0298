"""Where a receiver's connections come from: a port that it listens on, or another process that does."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

SPARE_CONNECTIONS = 64
"""Connections beyond the associations: those that are being refused, or haven't asked for anything yet."""
BACKLOG = 128

TAKEN, OVER = 1, 0
"""What a process says of each connection that was handed over to it."""

Take = Callable[[socket.socket, str], None]
"""Takes a connection in, and the address that it comes from."""


class Entrance(Protocol):
    """Where connections come from."""

    @property
    def port(self) -> int:
        """The TCP port that peers connect to."""

    def open(self, take: Take) -> None:
        """Hand each connection to ``take``, from a thread. Raises OSError if the address is taken."""

    def over(self) -> None:
        """A connection that was taken has ended, so that there is room for another."""

    def close(self) -> None:
        """Nothing new comes once this returns."""


class Listener:
    """An :class:`Entrance`: a listening socket with its thread. It can be opened again.

    Args:
        address: host and port, 0 for a free one.
        associations: how many connections there is room for, beside the `SPARE_CONNECTIONS`.
    """

    def __init__(self, address: tuple[str, int], associations: int) -> None:
        self._address = address
        self._connections = associations + SPARE_CONNECTIONS
        self._open: _Listening | None = None

    @property
    def port(self) -> int:
        """The TCP port that it listens on; 0 as long as a free one was asked for and it isn't open."""
        return self._open.port if self._open else self._address[1]

    def open(self, take: Take) -> None:
        """See :class:`Entrance`."""
        self._open = _Listening(self._address, self._connections, take)

    def over(self) -> None:
        """See :class:`Entrance`."""
        listening = self._open
        if listening:
            listening.room.release()

    def close(self) -> None:
        """See :class:`Entrance`."""
        listening, self._open = self._open, None
        if listening:
            listening.close()


class _Listening:
    def __init__(self, address: tuple[str, int], connections: int, take: Take) -> None:
        self.room = threading.Semaphore(connections)
        self._take = take
        self._stopping = threading.Event()
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        self._socket = socket.create_server(address, family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._listen, name="dicom-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._wake.send(b"\0")
        self._thread.join()
        self._socket.close()
        self._wake.close()
        self._woken.close()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                # Without room, callers wait in the backlog until a connection ends.
                while not self._stopping.is_set() and self.room.acquire(timeout=0.5):
                    if not self._accept():
                        self.room.release()
                        break

    def _accept(self) -> bool:
        """Take one connection in; False if none waits."""
        try:
            made, address = self._socket.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            # The caller went away again, or no file descriptors are left: the others wait a moment.
            log.warning("a connection couldn't be accepted: %s", type(error).__name__)
            self._stopping.wait(0.1)
            return False
        self._take(made, str(address[0]))
        return True


class HandedOver:
    """An :class:`Entrance`: connections that another process accepted, which `hand_over` sends through ``line``.

    Args:
        line: our end of a pair of connected Unix sockets. What goes back through it is a byte for each connection that
            was taken, `TAKEN`, and one once it has ended, `OVER`; its end tells that this process has ended.
        port: the port that the other process listens on.
    """

    def __init__(self, line: socket.socket, port: int) -> None:
        self._line = line
        self._port = port
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """See :class:`Entrance`."""
        return self._port

    def open(self, take: Take) -> None:
        """See :class:`Entrance`."""
        self._thread = threading.Thread(target=self._listen, args=(take,), name="dicom-entrance", daemon=True)
        self._thread.start()

    def over(self) -> None:
        """See :class:`Entrance`."""
        self._tell(OVER)

    def close(self) -> None:
        """See :class:`Entrance`. It can't be opened again."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RD)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _listen(self, take: Take) -> None:
        while True:
            try:
                byte, descriptors, _, _ = socket.recv_fds(self._line, 1, 1)
            except OSError:
                return
            if not byte:
                return
            for descriptor in descriptors:
                made = socket.socket(fileno=descriptor)
                self._tell(TAKEN)
                try:
                    peer = str(made.getpeername()[0])
                except OSError:
                    # It was gone before we had it.
                    made.close()
                    self.over()
                    continue
                take(made, peer)

    def _tell(self, what: int) -> None:
        with contextlib.suppress(OSError):
            self._line.send(bytes((what,)))


def hand_over(line: socket.socket, made: socket.socket) -> None:
    """Give a connection to the process with a :class:`HandedOver` on the other end of ``line``. Keep it open here until
    that has `TAKEN` it, so that it can be given to another if that doesn't.

    Raises:
        OSError: that process has ended.
    """
    socket.send_fds(line, [b"\0"], [made.fileno()])
