"""Tells a requestor what became of its storage commitment, over an association of its own (PS3.4 Annex J.3.3)."""

from __future__ import annotations

import ssl
from io import BytesIO

from pynetdicom.dimse_primitives import N_EVENT_REPORT

from wardround.dicom.errors import AssociationRefused
from wardround.dicom.network_classes import COMMITMENT, COMMITMENT_INSTANCE, EXPLICIT, IMPLICIT
from wardround.dicom.network_commitment import write_report
from wardround.dicom.network_messages import CommitmentReport, Peer
from wardround.dicom.network_peer import answer, association, listen


def report_commitment(
    peer: Peer, calling_ae: str, report: CommitmentReport, *, tls: ssl.SSLContext | None = None
) -> None:
    """Send ``report`` by N-EVENT-REPORT, we being the provider though we call (PS3.7 D.3.3.4).

    Args:
        peer: where the requestor listens; as a rule not the port that it called from.
        calling_ae: the AE title that the request was sent to.
        tls: for a peer that wants TLS (`TlsSettings.client`).

    Raises:
        PeerUnreachable: nothing answers there.
        AssociationRefused: the peer refuses, doesn't take reports, or didn't confirm this one.
    """
    wanted = [(COMMITMENT, EXPLICIT), (COMMITMENT, IMPLICIT)]
    with association(peer, calling_ae, wanted, tls=tls, provider_of=[COMMITMENT]) as made:
        listen(made)
        context = made.accepted_contexts[0]
        event_type, data = write_report(report, str(context.transfer_syntax[0]))
        event = N_EVENT_REPORT()
        event.MessageID = 1
        event.AffectedSOPClassUID = COMMITMENT
        event.AffectedSOPInstanceUID = COMMITMENT_INSTANCE
        event.EventTypeID = event_type
        event.EventInformation = BytesIO(data)
        made.dimse.send_msg(event, context.context_id)
        reply = answer(made)
        if reply is None or int(reply.Status) != 0x0000:
            raise AssociationRefused("the peer didn't confirm the storage commitment report; it has to be sent again")
