"""Calls in both directions between the node and a receiver of its own in another process, over a pair of sockets."""

from __future__ import annotations

import itertools
import os
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from wardround.node.receive.index import IndexUnavailable

PATIENCE = 30.0
Answers = Mapping[str, Callable[..., object]]
"""What the other side may ask for, by name. Each call runs in a thread of its own; IndexUnavailable and OSError go
back to the caller, and any other error ends the thread and is an OSError there."""


class LineEnded(ConnectionError):
    """The other process has ended, or is about to."""


@dataclass(frozen=True, slots=True)
class _Call:
    """`number` is None where no answer is waited for."""

    number: int | None
    name: str
    arguments: tuple[object, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Reply:
    number: int
    value: object = field(repr=False)
    error: Exception | None


class Line:
    """One end of a line.

    Args:
        end: our end of a pair of connected sockets. Who holds the other end is trusted: what comes is unpickled.
        answers: what the other side may ask for; it may still be filled after the line is started.
        ended: called once the other end is closed, or nobody there has read for `patience` seconds what is sent.
    """

    def __init__(
        self,
        end: socket.socket,
        answers: Answers,
        *,
        ended: Callable[[], None] = lambda: None,
        patience: float = PATIENCE,
    ) -> None:
        self._end = end
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(patience), 0))
        self._connection: Connection[Any, Any] = Connection(os.dup(end.fileno()))
        self._answers = answers
        self._ended = ended
        self._sending, self._changing = threading.Lock(), threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] | None = {}
        self._answering: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._listen, name="line", daemon=True)

    def start(self) -> None:
        """Listen to the other side."""
        self._thread.start()

    def call(self, name: str, *arguments: object, timeout: float | None = None) -> Any:
        """What the other side answers.

        Raises:
            LineEnded: it has ended. TimeoutError: it took longer than `timeout` seconds. IndexUnavailable, OSError:
                what its answer raised.
        """
        number, reply = next(self._numbers), Future[Any]()
        with self._changing:
            if self._waiting is None:
                raise LineEnded
            self._waiting[number] = reply
        self._send(_Call(number, name, arguments))
        return reply.result(timeout)

    def tell(self, name: str, *arguments: object) -> None:
        """Tell the other side something; without effect if it has ended."""
        with suppress(LineEnded):
            self._send(_Call(None, name, arguments))

    def close(self) -> None:
        """End it, and wait until nothing that the other side asked for runs any more. Not from an answer."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        with self._changing:
            answering = list(self._answering)
        for thread in answering:
            thread.join()
        self._end.close()

    def _send(self, message: _Call | _Reply) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            # Half a message may be out, after which nothing on it makes sense.
            with suppress(OSError):
                self._end.shutdown(socket.SHUT_RDWR)
            raise LineEnded from None

    def _listen(self) -> None:
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                message = self._connection.recv()
                if isinstance(message, _Reply):
                    self._resolve(message)
                else:
                    thread = threading.Thread(target=self._answer, args=(message,), name="line-answer", daemon=True)
                    with self._changing:
                        self._answering.add(thread)
                    thread.start()
        with self._changing:
            waiting, self._waiting = self._waiting or {}, None
        for reply in waiting.values():
            reply.set_exception(LineEnded())
        with self._sending:
            self._connection.close()
        self._ended()

    def _resolve(self, reply: _Reply) -> None:
        with self._changing:
            waiting = None if self._waiting is None else self._waiting.pop(reply.number, None)
        if waiting is None:
            return
        if reply.error is None:
            waiting.set_result(reply.value)
        else:
            waiting.set_exception(reply.error)

    def _answer(self, call: _Call) -> None:
        value: object = None
        error: Exception | None = OSError("the other process failed at it")
        try:
            value, error = self._answers[call.name](*call.arguments), None
        except (IndexUnavailable, OSError) as failed:
            error = failed
        finally:
            if call.number is not None:
                with suppress(LineEnded):
                    self._send(_Reply(call.number, value, error))
            with self._changing:
                self._answering.discard(threading.current_thread())
