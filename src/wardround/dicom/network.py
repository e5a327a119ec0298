"""The DICOM network: receive, send, verify, commit (PS3.4 Annexes A, B and J; PS3.7 sections 9 and 10; PS3.8).

This is the whole public interface; ``network_*`` hold its parts. Nothing outside them imports pynetdicom.
"""

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network_commitment_listener import CommitmentListener
from wardround.dicom.network_commitment_report import report_commitment
from wardround.dicom.network_commitment_request import ask_commitment
from wardround.dicom.network_limits import Limits
from wardround.dicom.network_messages import (
    CANNOT_UNDERSTAND,
    NO_SUCH_OBJECT,
    OUT_OF_RESOURCES,
    Accepted,
    CommitmentReport,
    CommitmentRequest,
    Commitments,
    Incoming,
    Landing,
    Peer,
    Received,
    Receiver,
    RefusedObject,
    RefusedStorage,
    SendReport,
    Sink,
    StoreHeader,
    write_part10,
)
from wardround.dicom.network_receive import StorageReceiver
from wardround.dicom.network_send import echo, send
from wardround.dicom.network_tls import TlsRefused, TlsSettings
from wardround.dicom.network_whole import WholeObjects

__all__ = [
    "CANNOT_UNDERSTAND",
    "NO_SUCH_OBJECT",
    "OUT_OF_RESOURCES",
    "Accepted",
    "AssociationRefused",
    "CommitmentListener",
    "CommitmentReport",
    "CommitmentRequest",
    "Commitments",
    "Incoming",
    "Landing",
    "Limits",
    "Peer",
    "PeerUnreachable",
    "Received",
    "Receiver",
    "RefusedObject",
    "RefusedStorage",
    "SendReport",
    "Sink",
    "StorageReceiver",
    "StoreHeader",
    "TlsRefused",
    "TlsSettings",
    "WholeObjects",
    "ask_commitment",
    "echo",
    "report_commitment",
    "send",
    "write_part10",
]
