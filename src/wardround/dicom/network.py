"""The DICOM network: receive, send and verify (C-STORE and C-ECHO, PS3.4 Annexes B and A; PS3.7 section 9).

This is the whole public interface; ``network_*`` hold its parts. Nothing outside them imports pynetdicom.
"""

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network_messages import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    Accepted,
    Peer,
    Received,
    Receiver,
    RefusedObject,
    RefusedStorage,
    SendReport,
    Sink,
    write_part10,
)
from wardround.dicom.network_receive import StorageReceiver
from wardround.dicom.network_send import echo, send

__all__ = [
    "CANNOT_UNDERSTAND",
    "OUT_OF_RESOURCES",
    "Accepted",
    "AssociationRefused",
    "Peer",
    "PeerUnreachable",
    "Received",
    "Receiver",
    "RefusedObject",
    "RefusedStorage",
    "SendReport",
    "Sink",
    "StorageReceiver",
    "echo",
    "send",
    "write_part10",
]
