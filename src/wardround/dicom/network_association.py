"""One association, on the side that accepts it: the states and timers of PS3.8 section 9.2 over one connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from wardround.dicom.network_dimse import InvalidCommand
from wardround.dicom.network_exchange import Exchange, Services
from wardround.dicom.network_limits import Limits
from wardround.dicom.network_negotiation import FULL, OLD_PROTOCOL, Agreement, Offer, Rejection
from wardround.dicom.network_pdu import (
    COMMAND,
    RELEASE_RP,
    RELEASE_RQ,
    VALUE_HEADER,
    AssociateRequest,
    Fault,
    InvalidPdu,
    PduType,
    abort,
    associate_rj,
    data_pdus,
    read_request,
)
from wardround.dicom.network_states import NEXT, TABLE, Action, Event, State
from wardround.dicom.network_wire import Closed, Late, Stopped, Wire

log = logging.getLogger(__name__)

_SERVICE_USER, _SERVICE_PROVIDER = 0, 2
_REJECTED_BY_USER = 1
_EVENTS = {
    PduType.ASSOCIATE_RQ: Event.ASSOCIATE_RQ_PDU,
    PduType.ASSOCIATE_AC: Event.ASSOCIATE_AC_PDU,
    PduType.ASSOCIATE_RJ: Event.ASSOCIATE_RJ_PDU,
    PduType.DATA: Event.DATA_PDU,
    PduType.RELEASE_RQ: Event.RELEASE_RQ_PDU,
    PduType.RELEASE_RP: Event.RELEASE_RP_PDU,
    PduType.ABORT: Event.ABORT_PDU,
}
_SHORT = frozenset({PduType.ASSOCIATE_RJ, PduType.RELEASE_RQ, PduType.RELEASE_RP, PduType.ABORT})
_ARTIM_RUNS = frozenset({State.AWAITING_REQUEST, State.AWAITING_CLOSE})


class Seats(Protocol):
    """How many associations may be open at once."""

    def take(self) -> bool:
        """Take a seat if there is one."""

    def free(self) -> None:
        """Give a seat back."""


class Association:
    """One association. `run` serves it from its first byte to its end, in the thread that calls it.

    Args:
        wire: the connection.
        offer: what is accepted.
        services: what stands behind it.
        number: its number in this process.
        peer: the address that it comes from.
    """

    def __init__(
        self, wire: Wire, offer: Offer, services: Services, limits: Limits, seats: Seats, *, number: int, peer: str
    ) -> None:
        self._wire = wire
        self._offer = offer
        self._services = services
        self._limits = limits
        self._seats = seats
        self._number = number
        self._peer = peer
        self._state = State.IDLE
        self._artim = 0.0
        self._seated = False
        self._framed = True
        self._taking = False
        self._unread = 0
        self._agreement: Agreement | None = None
        self._rejection: Rejection = OLD_PROTOCOL
        self._exchange: Exchange | None = None
        self._fault = Fault.NOT_SPECIFIED

    @property
    def state(self) -> State:
        """Where it stands in the table of states."""
        return self._state

    def run(self) -> None:
        """Serve the association until the connection is closed."""
        try:
            self._happen(Event.CONNECTION_OPENED)
            while self._state is not State.IDLE:
                try:
                    self._step()
                except Closed:
                    self._happen(Event.CONNECTION_CLOSED)
        finally:
            # Also if a landing raised what it may not: the thread ends, and nothing half-written stays.
            self._leave()
            self._wire.close()

    def _step(self) -> None:
        try:
            self._read()
        except InvalidPdu as invalid:
            self._framed = False
            self._fault = invalid.fault
            self._services.tally.count("invalid-pdu")
            self._happen(Event.INVALID_PDU)
        except InvalidCommand:
            self._framed = False
            self._services.tally.count("invalid-command")
            self._happen(Event.ABORT_REQUEST)
        except Late:
            self._late()
        except Stopped:
            if self._state not in _ARTIM_RUNS:
                self._happen(Event.ABORT_REQUEST)
            self._state = State.IDLE

    def _read(self) -> None:
        """Read one PDU and do what the table says; of P-DATA-TF, hand on what it holds."""
        wire, deadline = self._wire, self._deadline()
        if self._unread or not self._framed:
            self._drop(deadline)
        kind, length = wire.header(deadline)
        if kind == PduType.DATA and self._state is State.ESTABLISHED:
            self._take(length)
            return
        event = _EVENTS.get(PduType(kind)) if kind in _KINDS else None
        if event is None:
            raise InvalidPdu(Fault.UNRECOGNISED_PDU)
        if kind in _SHORT:
            if length != 4:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            wire.take(4, deadline)
        elif event is Event.ASSOCIATE_RQ_PDU and self._state is State.AWAITING_REQUEST:
            if length > self._limits.request_bytes:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            self._ask(read_request(wire.take(length, deadline)))
        else:
            self._unread = length
        self._fault = Fault.UNEXPECTED_PDU
        self._happen(event)

    def _take(self, length: int) -> None:
        """DT-2: a P-DATA-TF in the established state (PS3.8 9.3.5)."""
        exchange = self._exchange
        if length > self._limits.maximum_pdu or exchange is None:
            raise InvalidPdu(Fault.INVALID_PARAMETER)
        wire, deadline = self._wire, time.monotonic() + self._limits.stall_seconds
        self._taking = True
        while length:
            if length < 6:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            size, context, control = wire.unpack(VALUE_HEADER, deadline)
            length -= size + 4
            if size < 2 or length < 0:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            size -= 2
            exchange.begin(context, control)
            while size:
                piece = wire.piece(size, deadline)
                size -= len(piece)
                exchange.piece(piece)
            exchange.end(control)
        self._taking = False

    def _drop(self, deadline: float) -> None:
        """Drop what is left of a PDU that nobody reads, or everything once nothing tells where a PDU begins."""
        while not self._framed:
            self._wire.piece(1 << 30, deadline)
        unread, self._unread = self._unread, 0
        self._wire.skip(unread, deadline)

    def _deadline(self) -> float:
        if self._state in _ARTIM_RUNS:
            return self._artim
        idle = self._state is State.ESTABLISHED and not self._busy()
        return time.monotonic() + (self._limits.idle_seconds if idle else self._limits.stall_seconds)

    def _busy(self) -> bool:
        return self._exchange is not None and self._exchange.busy

    def _late(self) -> None:
        if self._state in _ARTIM_RUNS:
            self._happen(Event.ARTIM_EXPIRED)
        elif self._state is State.ESTABLISHED and not self._taking and not self._wire.begun and not self._busy():
            self._services.tally.count("idle")
            self._happen(Event.RELEASE_REQUEST)
        else:
            self._services.tally.count("stalled")
            self._framed = False
            self._happen(Event.ABORT_REQUEST)

    def _ask(self, request: AssociateRequest) -> None:
        """Settle the answer that AE-6 gives."""
        outcome = self._offer.agree(request)
        if isinstance(outcome, Agreement):
            self._seated = self._seats.take()
            if self._seated:
                self._agreement = outcome
                return
            outcome = FULL
        self._rejection = outcome

    def _happen(self, event: Event) -> None:
        """Do what Table 9-10 has for ``event`` here. An event that can't happen in this state is an error of ours."""
        action = TABLE[self._state, event]
        perform = _PERFORM.get(action)
        if action in NEXT:
            self._state = NEXT[action]
        if perform is not None:
            perform(self)

    def _send_message(self, context: int, command: bytes, data: bytes | None) -> None:
        """DT-1 and AR-7."""
        maximum = self._agreement.maximum_length if self._agreement else 0
        self._wire.send(b"".join(data_pdus(context, COMMAND, command, maximum)))
        if data is not None:
            for pdu in data_pdus(context, 0, data, maximum):
                self._wire.send(pdu)

    def _start_artim(self) -> None:
        self._artim = time.monotonic() + self._limits.artim_seconds

    def _leave(self) -> None:
        """The association is over: its seat is free before the peer hears of it, and may come again."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()
        if self._seated:
            self._seated = False
            self._seats.free()

    # The actions (Tables 9-6 to 9-9), each after the state it leads to has been taken.

    def _ae_6(self) -> None:
        if self._agreement is None and self._rejection.source != _REJECTED_BY_USER:
            self._state = State.AWAITING_CLOSE
            self._reject()
            return
        self._state = State.AWAITING_LOCAL_ACCEPTANCE
        self._happen(Event.ACCEPT_RESPONSE if self._agreement else Event.REJECT_RESPONSE)

    def _ae_7(self) -> None:
        if self._agreement is None:
            raise AssertionError("an association without an agreement was accepted")
        self._services.tally.count("associations")
        self._exchange = Exchange(
            self._agreement, self._services, self._limits, self._send_message, number=self._number, peer=self._peer
        )
        self._wire.send(self._agreement.answer)

    def _reject(self) -> None:
        rejection = self._rejection
        self._services.tally.count(rejection.code)
        log.warning("an association was refused: %s", rejection.code)
        self._start_artim()
        self._wire.send(associate_rj(rejection.result, rejection.source, rejection.reason))

    def _ar_1(self) -> None:
        self._wire.send(RELEASE_RQ)

    def _ar_2(self) -> None:
        self._leave()
        self._happen(Event.RELEASE_RESPONSE)

    def _ar_4(self) -> None:
        self._leave()
        self._start_artim()
        self._wire.send(RELEASE_RP)

    def _ar_8(self) -> None:
        """Both sides asked to be released; the acceptor waits for the requestor's answer first."""
        self._state = State.COLLISION_ACCEPTOR

    def _ar_10(self) -> None:
        self._happen(Event.RELEASE_RESPONSE)

    def _aa_1(self) -> None:
        self._end_with(abort(_SERVICE_USER))

    def _aa_3(self) -> None:
        self._services.tally.count("aborted-by-peer")
        self._leave()

    def _aa_4(self) -> None:
        self._services.tally.count("connection-lost")
        self._leave()

    def _aa_7(self) -> None:
        self._wire.send(abort(_SERVICE_PROVIDER, self._fault))

    def _aa_8(self) -> None:
        self._end_with(abort(_SERVICE_PROVIDER, self._fault))

    def _end_with(self, pdu: bytes) -> None:
        self._leave()
        self._services.tally.count("aborted-here")
        log.warning("an association was aborted")
        self._start_artim()
        self._wire.send(pdu)


_KINDS = frozenset(int(kind) for kind in PduType)
# What isn't here closes the connection, or ignores what came.
_PERFORM: dict[Action, Callable[[Association], None]] = {
    Action.AE_5: Association._start_artim,
    Action.AE_6: Association._ae_6,
    Action.AE_7: Association._ae_7,
    Action.AE_8: Association._reject,
    Action.AR_1: Association._ar_1,
    Action.AR_2: Association._ar_2,
    Action.AR_4: Association._ar_4,
    Action.AR_8: Association._ar_8,
    Action.AR_10: Association._ar_10,
    Action.AA_1: Association._aa_1,
    Action.AA_3: Association._aa_3,
    Action.AA_4: Association._aa_4,
    Action.AA_7: Association._aa_7,
    Action.AA_8: Association._aa_8,
}
