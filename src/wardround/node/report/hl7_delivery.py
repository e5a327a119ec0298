"""Findings go to a listener of the hospital's as ORU^R01 over MLLP, each until it is accepted."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.records.hl7.er7 import NotAMessage, parse
from wardround.node.records.mllp.framing import BrokenFrame, TooLarge, Unframer, framed
from wardround.node.report.document import OutputKind
from wardround.node.report.oru import Addressing, message_of
from wardround.node.report.sending import Outbox
from wardround.node.report.states import OutputState

_log = logging.getLogger(__name__)

SECONDS = 30.0
"""How long a listener may take to be reached, and to answer."""
_LARGEST_ANSWER = 64 * 1024
_ACCEPTED = frozenset({"AA", "CA"})


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to send: MLLP on this host and port, in TLS if `tls` is given."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    seconds: float = SECONDS


class NotAccepted(Exception):
    """The listener answered, and not that it took this message."""


def tell(listener: Listener, message: bytes, control_id: str) -> None:
    """Send one message and have its acceptance.

    Raises:
        OSError: it can't be reached, or the connection broke.
        NotAccepted: it said AE or AR, or something about another message, or nothing that can be read.
    """
    with socket.create_connection((listener.host, listener.port), timeout=listener.seconds) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if listener.tls is None:
            answer = _asked(plain, message, listener.seconds)
        else:
            with listener.tls.wrap_socket(plain, server_hostname=listener.host) as secured:
                answer = _asked(secured, message, listener.seconds)
    try:
        said = parse(answer).first("MSA")
    except NotAMessage:
        said = None
    if said is None or said[2][1] != control_id or said[1][1].upper() not in _ACCEPTED:
        raise NotAccepted


def _asked(connection: socket.socket, message: bytes, seconds: float) -> bytes:
    connection.sendall(framed(message))
    unframer, until = Unframer(_LARGEST_ANSWER), time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        piece = connection.recv(_LARGEST_ANSWER)
        if not piece:
            raise ConnectionError
        unframer.feed(piece)
        try:
            answer = unframer.next()
        except (BrokenFrame, TooLarge):
            raise NotAccepted from None
        if answer is not None:
            return answer
    raise TimeoutError


class Hl7Delivery:
    """`tick` sends what is due, one message after another; a listener that is away ends it for now."""

    def __init__(
        self, database: Database, results: Path, clock: Clock, *, listener: Listener, addressing: Addressing
    ) -> None:
        self._outbox = Outbox(database, results, [OutputKind.HL7], clock)
        self._listener = listener
        self._addressing = addressing
        self._clock = clock

    def tick(self) -> int:
        """Returns how many findings were accepted."""
        accepted = 0
        for one, record in self._outbox.records():
            control_id = f"WR{one.output.id}"
            message = message_of(record, self._addressing, control_id=control_id, at=self._clock())
            try:
                tell(self._listener, message, control_id)
            except OSError as error:
                _log.info("findings wait for the HL7 listener: %s", type(error).__name__)
                self._outbox.again(one, "hl7-unreachable", refused=False)
                return accepted
            except NotAccepted:
                self._outbox.again(one, "hl7-not-accepted", refused=False)
                continue
            self._outbox.end(one, OutputState.SENT)
            accepted += 1
        return accepted
