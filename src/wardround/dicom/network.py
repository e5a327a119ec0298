"""The DICOM network: receive, send and verify (C-STORE and C-ECHO, PS3.4 Annexes B and A; PS3.7 section 9).

This is the whole public interface; ``network_*`` hold its parts. Nothing outside them imports pynetdicom.
"""

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network_messages import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    Accepted,
    CommitmentRequest,
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
from wardround.dicom.network_whole import WholeObjects

__all__ = [
    "CANNOT_UNDERSTAND",
    "OUT_OF_RESOURCES",
    "Accepted",
    "AssociationRefused",
    "CommitmentRequest",
    "Incoming",
    "Landing",
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
    "WholeObjects",
    "echo",
    "send",
    "write_part10",
]
