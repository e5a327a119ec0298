"""Has a PACS send studies: C-MOVE to a third party, C-GET on the same association (PS3.4 Annex C.4.2, C.4.3).

One request is for one study, or for one of its series. What came is counted by the PACS; whether all of it is there is
for the receiver to say.
"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import StoragePresentationContexts, build_context
from pynetdicom.dimse_primitives import C_GET, C_MOVE, C_STORE
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from wardround.dicom.damage import DAMAGE
from wardround.dicom.network_messages import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    Accepted,
    Landing,
    Peer,
    RefusedStorage,
    StoreHeader,
)
from wardround.dicom.network_query import QueryRoot, models_of, single_value
from wardround.dicom.network_query_association import Conversation, Stop, conversation, read_identifier
from wardround.dicom.network_query_status import PENDING, SOME_FAILED, SUCCESS, failure

MOST_CONTEXTS = 128
_UNCOMPRESSED = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
COMPRESSED = [
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.100",  # MPEG2
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC/H.264
    "1.2.840.10008.1.2.1.99",  # Deflated
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
]
_PIECE = 1 << 20
_numbers = itertools.count(1 << 40)
"""Numbers of our own associations, apart from those of the receiver's."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """How a retrieval ended, in the PACS's own count of its sub-operations (PS3.7 9.1.4.1).

    `failed_uids` are the instances that the PACS says it failed to send, where it says so. `status` is 0x0000, or a
    warning 0xBxxx where some failed.
    """

    status: int
    completed: int
    failed: int
    warnings: int
    failed_uids: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Remaining:
    """A retrieval under way; numbers that the PACS leaves out are 0."""

    remaining: int
    completed: int
    failed: int
    warnings: int


Progress = Callable[[Remaining], None]


def move(
    peer: Peer,
    calling_ae: str,
    study_uid: str,
    destination: str,
    *,
    series_uid: str | None = None,
    patient_id: str = "",
    root: QueryRoot = QueryRoot.ANY,
    tls: ssl.SSLContext | None = None,
    progress: Progress | None = None,
    cancelled: Stop = lambda: False,
) -> Retrieved:
    """Have `peer` send a study to the AE title `destination` by C-STORE on associations of its own (C-MOVE).

    Returns once the PACS says that it has sent everything.

    Args:
        destination: an AE title that the PACS knows with host and port, as a rule this node's own.
        patient_id: what a strict Patient Root PACS wants to know as well.

    Raises:
        KeyRefused: a UID that can't be asked for.
        PeerUnreachable, AssociationRefused: no association.
        QueryFailed: the PACS didn't carry it out; the subclass says how.
    """
    models = models_of(root, StudyRootQueryRetrieveInformationModelMove, PatientRootQueryRetrieveInformationModelMove)
    request = C_MOVE()
    request.MoveDestination = destination
    identifier = _identifier(study_uid, series_uid, patient_id)
    contexts = [build_context(model, _UNCOMPRESSED) for model in models]
    with conversation(peer, calling_ae, contexts, tls=tls) as peer_says:
        context = peer_says.context(*models)
        for message, _ in peer_says.ask(request, context, identifier, cancelled=cancelled):
            if isinstance(message, C_MOVE) and (ended := _ended(message, context.transfer_syntax[0], progress)):
                return ended
    raise AssertionError("a conversation ends with an answer or an error")


def get(
    peer: Peer,
    calling_ae: str,
    study_uid: str,
    landing: Landing,
    *,
    called_ae: str,
    sop_classes: Sequence[str] = (),
    series_uid: str | None = None,
    patient_id: str = "",
    root: QueryRoot = QueryRoot.ANY,
    tls: ssl.SSLContext | None = None,
    progress: Progress | None = None,
    cancelled: Stop = lambda: False,
) -> Retrieved:
    """Have `peer` send a study on this very association (C-GET), each object into `landing`.

    Args:
        called_ae: the AE title of ours that the objects count as sent to; it decides their route.
        sop_classes: the storage SOP classes that the study holds; without them the common ones are offered. Each
            transfer syntax takes a presentation context of its own, of which there are 128, so that with few classes
            compressed objects come as they are.

    Raises:
        As `move`.
    """
    models = models_of(root, StudyRootQueryRetrieveInformationModelGet, PatientRootQueryRetrieveInformationModelGet)
    classes = list(dict.fromkeys(sop_classes)) or [str(one.abstract_syntax) for one in StoragePresentationContexts]
    classes = classes[: MOST_CONTEXTS - len(models)]
    contexts = [build_context(model, _UNCOMPRESSED) for model in models]
    contexts += _storage_contexts(classes, MOST_CONTEXTS - len(models))
    identifier = _identifier(study_uid, series_uid, patient_id)
    number = next(_numbers)
    with conversation(peer, calling_ae, contexts, tls=tls, stores=classes) as peer_says:
        context = peer_says.context(*models)
        for message, context_id in peer_says.ask(C_GET(), context, identifier, cancelled=cancelled):
            if isinstance(message, C_STORE):
                header = StoreHeader(
                    called_ae=called_ae,
                    calling_ae=peer.ae_title,
                    sop_class_uid=str(message.AffectedSOPClassUID),
                    sop_instance_uid=str(message.AffectedSOPInstanceUID),
                    transfer_syntax_uid=peer_says.transfer_syntax(context_id),
                    peer=peer.host,
                    association=number,
                )
                _land(peer_says, message, context_id, header, landing)
            elif isinstance(message, C_GET) and (ended := _ended(message, context.transfer_syntax[0], progress)):
                return ended
    raise AssertionError("a conversation ends with an answer or an error")


def _storage_contexts(classes: Sequence[str], room: int) -> Iterator[Any]:
    """One context for each class uncompressed, then one for each compressed syntax as far as there is room."""
    for sop_class in classes:
        yield build_context(sop_class, _UNCOMPRESSED)
    more = [(sop_class, syntax) for syntax in COMPRESSED for sop_class in classes]
    for sop_class, syntax in more[: room - len(classes)]:
        yield build_context(sop_class, syntax)


def _land(peer_says: Conversation, message: Any, context_id: int, header: StoreHeader, landing: Landing) -> None:
    """Hand one object on and tell the PACS what became of it."""
    status = _stored(message, header, landing)
    response = C_STORE()
    response.MessageIDBeingRespondedTo = message.MessageID
    response.AffectedSOPClassUID = message.AffectedSOPClassUID
    response.AffectedSOPInstanceUID = message.AffectedSOPInstanceUID
    response.Status = status
    peer_says.answer(response, context_id)


def _stored(message: Any, header: StoreHeader, landing: Landing) -> int:
    if message.DataSet is None:
        return CANNOT_UNDERSTAND
    try:
        incoming = landing.open(header)
    except OSError:
        return OUT_OF_RESOURCES
    if isinstance(incoming, RefusedStorage):
        return incoming.status
    try:
        with message.DataSet.getbuffer() as data:
            for start in range(0, len(data), _PIECE):
                incoming.write(data[start : start + _PIECE])
    except OSError:
        incoming.abandon()
        return OUT_OF_RESOURCES
    try:
        answer = incoming.commit()
    except OSError:
        return OUT_OF_RESOURCES
    return SUCCESS if isinstance(answer, Accepted) else answer.status


def _identifier(study_uid: str, series_uid: str | None, patient_id: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY" if series_uid is None else "SERIES"
    identifier.StudyInstanceUID = single_value("StudyInstanceUID", study_uid)
    if series_uid is not None:
        identifier.SeriesInstanceUID = single_value("SeriesInstanceUID", series_uid)
    if patient_id:
        identifier.PatientID = single_value("PatientID", patient_id)
        if not patient_id.isascii():
            identifier.SpecificCharacterSet = "ISO_IR 192"
    return identifier


def _ended(message: Any, syntax: Any, progress: Progress | None) -> Retrieved | None:
    """What a final answer says, None for one on the way. Raises `QueryFailed` for a failure."""
    if message.Status is None:
        return None
    status = int(message.Status)
    counts = Remaining(
        remaining=message.NumberOfRemainingSuboperations or 0,
        completed=message.NumberOfCompletedSuboperations or 0,
        failed=message.NumberOfFailedSuboperations or 0,
        warnings=message.NumberOfWarningSuboperations or 0,
    )
    if status in PENDING:
        if progress:
            progress(counts)
        return None
    # Any warning means that the sub-operations are over, some of them with less than success.
    if status != SUCCESS and status >> 12 != SOME_FAILED >> 12:
        raise failure(status)
    return Retrieved(status, counts.completed, counts.failed, counts.warnings, _failed_uids(message, syntax))


def _failed_uids(message: Any, syntax: Any) -> tuple[str, ...]:
    """Failed SOP Instance UID List (0008,0058)."""
    try:
        value = read_identifier(message.Identifier, syntax).get("FailedSOPInstanceUIDList") or ()
        return (str(value),) if isinstance(value, str) else tuple(str(uid) for uid in value)
    except DAMAGE:
        return ()
