"""Asks a peer to take responsibility for what it was sent: Storage Commitment Push as SCU (PS3.4 Annex J)."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT

from wardround.dicom.errors import AssociationRefused
from wardround.dicom.network_classes import COMMITMENT, COMMITMENT_INSTANCE, EXPLICIT, IMPLICIT
from wardround.dicom.network_commitment import ACTION_REQUEST, ReportUnreadable, read_report, write_action
from wardround.dicom.network_dimse import Status
from wardround.dicom.network_messages import CommitmentReport, Peer
from wardround.dicom.network_peer import answer, association, listen

REPORT_SECONDS = 1.0
"""How long the association is kept for a peer that reports on it; most report on another one, later."""


def ask_commitment(
    peer: Peer,
    calling_ae: str,
    transaction_uid: str,
    instances: Sequence[tuple[str, str]],
    *,
    tls: ssl.SSLContext | None = None,
    report_seconds: float = REPORT_SECONDS,
) -> CommitmentReport | None:
    """Ask by N-ACTION for pairs of SOP Class and SOP Instance UID.

    Returns:
        The report, where the peer gave it on the same association; None where it follows on another one, to wherever
        the peer knows ``calling_ae`` to listen (`CommitmentListener`).

    Raises:
        PeerUnreachable: nothing answers there.
        AssociationRefused: the peer refuses, doesn't offer storage commitment, or didn't take the request.
    """
    wanted = [(COMMITMENT, EXPLICIT), (COMMITMENT, IMPLICIT)]
    with association(peer, calling_ae, wanted, tls=tls) as made:
        listen(made)
        context = made.accepted_contexts[0]
        syntax = str(context.transfer_syntax[0])
        request = N_ACTION()
        request.MessageID = 1
        request.RequestedSOPClassUID = COMMITMENT
        request.RequestedSOPInstanceUID = COMMITMENT_INSTANCE
        request.ActionTypeID = ACTION_REQUEST
        request.ActionInformation = BytesIO(write_action(transaction_uid, instances, syntax))
        made.dimse.send_msg(request, context.context_id)
        # A peer may report before it has answered (J.3.2.1 leaves the order open).
        report: CommitmentReport | None = None
        reply = answer(made)
        if isinstance(reply, N_EVENT_REPORT):
            report, reply = _taken(made, reply, context.context_id, syntax), answer(made)
        if reply is None or int(reply.Status) != Status.SUCCESS:
            raise AssociationRefused("the peer didn't take the request for storage commitment; look into its log")
        until = time.monotonic() + report_seconds
        while report is None and made.is_established and (left := until - time.monotonic()) > 0:
            told = answer(made, seconds=left)
            if isinstance(told, N_EVENT_REPORT):
                report = _taken(made, told, context.context_id, syntax)
        return report


def _taken(made: Any, event: N_EVENT_REPORT, context_id: int, syntax: str) -> CommitmentReport | None:
    """What the event says, confirmed to the peer; None where it can't be read, which the peer is told."""
    try:
        data = event.EventInformation.getvalue() if event.EventInformation is not None else b""
        report = read_report(data, syntax)
    except ReportUnreadable:
        report = None
    reply = N_EVENT_REPORT()
    reply.MessageIDBeingRespondedTo = event.MessageID
    reply.AffectedSOPClassUID = event.AffectedSOPClassUID
    reply.AffectedSOPInstanceUID = event.AffectedSOPInstanceUID
    reply.EventTypeID = event.EventTypeID
    reply.Status = int(Status.SUCCESS if report is not None else Status.PROCESSING_FAILURE)
    made.dimse.send_msg(reply, context_id)
    return report
