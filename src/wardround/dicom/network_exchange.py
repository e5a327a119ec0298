"""The messages of one association: puts commands together, serves them, and streams objects to where they land.

C-STORE (PS3.7 9.3.1, PS3.4 Annex B), C-ECHO (PS3.7 9.3.5), C-CANCEL, and Storage Commitment Push (PS3.4 Annex J). One
operation runs at a time, as the association agrees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from wardround.dicom.network_classes import COMMITMENT, COMMITMENT_INSTANCE, VERIFICATION
from wardround.dicom.network_commitment import ACTION_REQUEST, ActionRefused, read_action, write_report
from wardround.dicom.network_dimse import Command, InvalidCommand, Kind, Status, Tag, answer, write_command
from wardround.dicom.network_limits import Limits
from wardround.dicom.network_messages import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    Accepted,
    CommitmentReport,
    CommitmentRequest,
    Commitments,
    Incoming,
    Landing,
    RefusedStorage,
    StoreHeader,
)
from wardround.dicom.network_negotiation import Agreement, Context
from wardround.dicom.network_pdu import COMMAND, LAST, Fault, InvalidPdu
from wardround.dicom.network_tally import Tally

log = logging.getLogger(__name__)

Send = Callable[[int, bytes, bytes | None], None]
"""Sends a command set, and a data set after it if there is one, on a presentation context."""


@dataclass(frozen=True, slots=True)
class Services:
    """What stands behind a receiver: where objects land, who answers storage commitment, and what is counted."""

    landing: Landing
    commitments: Commitments | None
    tally: Tally


class Exchange:
    """The messages of one association.

    Args:
        agreement: what the association agreed on.
        number: the association's number in this process.
        peer: the address that it comes from.
    """

    def __init__(
        self, agreement: Agreement, services: Services, limits: Limits, send: Send, *, number: int, peer: str
    ) -> None:
        self._agreement = agreement
        self._services = services
        self._limits = limits
        self._send = send
        self._number = number
        self._peer = peer
        self._context_id: int | None = None
        self._command = bytearray()
        self._request: Command | None = None
        self._incoming: Incoming | None = None
        self._status: int = Status.SUCCESS
        self._stored = b""
        self._collected: bytearray | None = None
        self._reported: CommitmentRequest | None = None
        self._report_id = 0

    @property
    def busy(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._context_id is not None

    def begin(self, context_id: int, control: int) -> None:
        """A fragment begins.

        Raises:
            InvalidPdu: its context wasn't accepted, or isn't the message's, or it is of the wrong kind.
        """
        if self._context_id is None:
            if context_id not in self._agreement.contexts:
                raise InvalidPdu(Fault.INVALID_PARAMETER)
            self._context_id = context_id
        elif context_id != self._context_id:
            raise InvalidPdu(Fault.INVALID_PARAMETER)
        if bool(control & COMMAND) is (self._request is not None):
            raise InvalidPdu(Fault.UNEXPECTED_PARAMETER)

    def piece(self, data: memoryview) -> None:
        """Part of the fragment that began.

        Raises:
            InvalidCommand: the command set grows too long.
        """
        if self._incoming is not None:
            try:
                self._incoming.write(data)
            except OSError as error:
                log.error("an object can't be written: %s", type(error).__name__)
                self._status = OUT_OF_RESOURCES
                self.abandon()
        elif self._request is None:
            if len(self._command) + len(data) > self._limits.command_bytes:
                raise InvalidCommand
            self._command += data
        elif self._collected is not None:
            if len(self._collected) + len(data) > self._limits.action_bytes:
                self._collected, self._status = None, Status.RESOURCE_LIMITATION
            else:
                self._collected += data

    def end(self, control: int) -> None:
        """The fragment has ended; the last one of a command set or of a data set has it served.

        Raises:
            InvalidCommand: the command can't be read or answered.
        """
        if not control & LAST:
            return
        if control & COMMAND:
            command = Command(self._command)
            self._command = bytearray()
            self._begin(command)
            if command.has_data_set:
                self._request = command
                return
        else:
            command = self._request or _never()
        self._finish(command)

    def abandon(self) -> None:
        """Drop the object that is on its way, if there is one."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            try:
                incoming.abandon()
            except OSError as error:
                log.error("an object that was broken off can't be removed: %s", type(error).__name__)

    def close(self) -> None:
        """The association has ended."""
        self.abandon()
        self._settle(taken=False)

    def _context(self) -> Context:
        return self._agreement.contexts[self._context_id or 0]

    def _begin(self, command: Command) -> None:
        """A command is whole; its data set, if it has one, comes next."""
        self._status = Status.SUCCESS
        if not _unanswered(command):
            # Without it there can be no answer, so nothing is begun.
            _ = command.message_id
        if command.kind == Kind.C_STORE:
            self._begin_store(command)
        elif command.kind == Kind.N_ACTION:
            self._begin_action(command)
        elif command.kind == Kind.C_ECHO:
            if self._context().sop_class != VERIFICATION or command.uid(Tag.AFFECTED_CLASS) != VERIFICATION:
                self._status = Status.CLASS_NOT_SUPPORTED
        elif command.kind & Kind.ANSWER:
            self._take_answer(command)
        elif command.kind != Kind.C_CANCEL:
            self._status = Status.UNRECOGNISED_OPERATION

    def _finish(self, command: Command) -> None:
        """A message is whole."""
        context_id = self._context_id or 0
        status = self._status
        request: CommitmentRequest | None = None
        report: CommitmentReport | None = None
        if self._incoming is not None:
            status = self._commit(self._incoming)
        elif self._collected is not None:
            try:
                request = self._commitment(bytes(self._collected))
                report = self._ask(request)
            except ActionRefused as refused:
                status = refused.status
        self._incoming = self._collected = self._request = self._context_id = None
        if _unanswered(command):
            return
        if command.kind == Kind.C_STORE:
            self._services.tally.count("stored" if status == Status.SUCCESS else "object-refused")
        stored, self._stored = self._stored, b""
        self._send(context_id, stored if stored and status == Status.SUCCESS else answer(command, status), None)
        if request is not None and report is not None:
            self._report(context_id, request, report)

    def _begin_store(self, command: Command) -> None:
        context, instance = self._context(), command.uid(Tag.AFFECTED_INSTANCE)
        sop_class = command.uid(Tag.AFFECTED_CLASS)
        if sop_class != context.sop_class or sop_class in (VERIFICATION, COMMITMENT):
            self._status = Status.CLASS_NOT_SUPPORTED
        elif not 0 < len(instance) <= 64:
            self._status = Status.INVALID_INSTANCE
        elif not command.has_data_set:
            self._status = CANNOT_UNDERSTAND
        else:
            header = StoreHeader(
                called_ae=self._agreement.called_ae,
                calling_ae=self._agreement.calling_ae,
                sop_class_uid=sop_class,
                sop_instance_uid=instance,
                transfer_syntax_uid=context.transfer_syntax,
                peer=self._peer,
                association=self._number,
            )
            try:
                opened = self._services.landing.open(header)
            except OSError as error:
                log.error("an object can't be begun: %s", type(error).__name__)
                opened = RefusedStorage(OUT_OF_RESOURCES)
            if isinstance(opened, RefusedStorage):
                self._status = opened.status
            else:
                self._incoming = opened
                # Written while the data set comes, so that the sender waits less for it.
                self._stored = answer(command, Status.SUCCESS)

    def _commit(self, incoming: Incoming) -> int:
        self._incoming = None
        try:
            outcome = incoming.commit()
        except OSError as error:
            log.error("an object can't be stored: %s", type(error).__name__)
            return OUT_OF_RESOURCES
        return Status.SUCCESS if isinstance(outcome, Accepted) else outcome.status

    def _begin_action(self, command: Command) -> None:
        if self._context().sop_class != COMMITMENT or command.uid(Tag.REQUESTED_CLASS) != COMMITMENT:
            self._status = Status.CLASS_NOT_SUPPORTED
        elif command.uid(Tag.REQUESTED_INSTANCE) != COMMITMENT_INSTANCE:
            self._status = Status.NO_SUCH_INSTANCE
        elif command.number(Tag.ACTION_TYPE) != ACTION_REQUEST:
            self._status = Status.NO_SUCH_ACTION
        elif not command.has_data_set:
            self._status = Status.MISTYPED_ARGUMENT
        else:
            self._collected = bytearray()

    def _commitment(self, data: bytes) -> CommitmentRequest:
        transaction, instances = read_action(data, self._context().transfer_syntax)
        return CommitmentRequest(
            calling_ae=self._agreement.calling_ae,
            called_ae=self._agreement.called_ae,
            transaction_uid=transaction,
            instances=instances,
            peer=self._peer,
        )

    def _ask(self, request: CommitmentRequest) -> CommitmentReport | None:
        if self._services.commitments is None:
            raise ActionRefused(Status.CLASS_NOT_SUPPORTED)
        try:
            outcome = self._services.commitments.request(request)
        except OSError as error:
            log.error("a storage commitment can't be taken: %s", type(error).__name__)
            raise ActionRefused(Status.RESOURCE_LIMITATION) from None
        if isinstance(outcome, RefusedStorage):
            raise ActionRefused(outcome.status)
        return outcome

    def _report(self, context_id: int, request: CommitmentRequest, report: CommitmentReport) -> None:
        self._settle(taken=False)
        event_type, data = write_report(report, self._agreement.contexts[context_id].transfer_syntax)
        self._report_id = self._report_id % 0xFFFF + 1
        self._reported = request
        command = write_command(
            [
                (Tag.AFFECTED_CLASS, COMMITMENT),
                (Tag.COMMAND_FIELD, Kind.N_EVENT_REPORT),
                (Tag.MESSAGE_ID, self._report_id),
                (Tag.DATA_SET_TYPE, 1),
                (Tag.AFFECTED_INSTANCE, COMMITMENT_INSTANCE),
                (Tag.EVENT_TYPE, event_type),
            ]
        )
        self._send(context_id, command, data)

    def _take_answer(self, command: Command) -> None:
        expected = Kind.N_EVENT_REPORT | Kind.ANSWER
        if command.kind == expected and command.number(Tag.RESPONDED_TO) == self._report_id:
            self._settle(taken=command.number(Tag.STATUS) == Status.SUCCESS)

    def _settle(self, *, taken: bool) -> None:
        request, self._reported = self._reported, None
        if request is not None and self._services.commitments is not None:
            self._services.commitments.delivered(request, taken=taken)


def _unanswered(command: Command) -> bool:
    return bool(command.kind & Kind.ANSWER) or command.kind == Kind.C_CANCEL


def _never() -> NoReturn:
    raise AssertionError("a data set without a command passed `begin`")
