"""A Storage and Verification SCU over pynetdicom; data sets travel byte for byte as they are in the file."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pynetdicom import AE, build_context, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification

from wardround.dicom.errors import AssociationRefused, PeerUnreachable, Refused
from wardround.dicom.header_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION, read_file_meta
from wardround.dicom.network_messages import Peer, RefusedObject, SendReport
from wardround.dicom.network_receive import MAXIMUM_PDU, quieten, send_at_once

MOST_CONTEXTS = 128
ANSWER_SECONDS = 60.0
_META_READ = 16384
_SOP_CLASS_NOT_SUPPORTED = 0x0122
_NO_CONTEXT = "the peer doesn't take this class of object in its transfer syntax"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Item:
    source: Path | bytes
    sop_class: str
    sop_uid: str
    transfer_syntax: str

    @property
    def context(self) -> tuple[str, str]:
        return self.sop_class, self.transfer_syntax

    def data_set(self) -> bytes:
        data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return data[read_file_meta(data)[1] :]


def send(files: Iterable[Path | bytes], to: Peer, calling_ae: str, progress: Progress | None = None) -> SendReport:
    """Send Part 10 files by C-STORE (PS3.4 Annex B), in their order, each in the transfer syntax that it is in.

    One association carries up to 128 presentation contexts (PS3.8 9.3.2.2); more kinds take more associations.

    Args:
        files: paths or whole files.
        to: the receiver.
        calling_ae: the AE title to call from.
        progress: called with (done, total) after each object.

    Returns:
        What the peer took and what it didn't, also if the association broke on the way.

    Raises:
        Refused: one of ``files`` is no Part 10 file; nothing was sent.
        PeerUnreachable: nothing answers there.
        AssociationRefused: the peer doesn't talk to this AE title, or takes none of the objects.
        OSError: a file can't be read.
    """
    items = [_item(source) for source in files]
    accepted: list[str] = []
    refused: list[RefusedObject] = []
    for batch in _batches(items):
        wanted = list(dict.fromkeys(item.context for item in batch))
        with _association(to, calling_ae, wanted) as association:
            _listen(association)
            contexts = {
                (str(context.abstract_syntax), str(context.transfer_syntax[0])): context.context_id
                for context in association.accepted_contexts
            }
            for number, item in enumerate(batch):
                failure = _store(association, contexts.get(item.context), item, number % 0xFFFF + 1)
                if failure is None:
                    accepted.append(item.sop_uid)
                else:
                    refused.append(failure)
                if progress:
                    progress(len(accepted) + len(refused), len(items))
    return SendReport(tuple(accepted), tuple(refused))


def echo(peer: Peer, calling_ae: str) -> None:
    """Verify that ``peer`` answers (C-ECHO, PS3.4 Annex A).

    Raises:
        PeerUnreachable: nothing answers there.
        AssociationRefused: the peer refuses this AE title, or answers with a failure.
    """
    with _association(peer, calling_ae, [(str(Verification), "1.2.840.10008.1.2")]) as association:
        status = association.send_c_echo()
        if not status or status.Status != 0x0000:
            raise AssociationRefused("the peer took the association and failed to answer C-ECHO; look into its log")


@contextmanager
def _association(peer: Peer, calling_ae: str, contexts: list[tuple[str, str]]) -> Iterator[Any]:
    quieten()
    entity = AE(ae_title=calling_ae)
    entity.maximum_pdu_size = MAXIMUM_PDU
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    association = entity.associate(
        peer.host,
        peer.port,
        contexts=[build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in contexts],
        ae_title=peer.ae_title,
        max_pdu=MAXIMUM_PDU,
        evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)],
    )
    if not association.is_established:
        if association.is_rejected:
            raise AssociationRefused(_why_rejected(association))
        if association.acceptor.primitive is not None:
            raise AssociationRefused("the peer takes none of these classes of object; check what it accepts")
        raise PeerUnreachable("no DICOM peer answers there; check that it runs, its host and its port")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _why_rejected(association: Any) -> str:
    diagnostic = getattr(association.acceptor.primitive, "diagnostic", None)
    if diagnostic == 0x07:
        return "the peer doesn't answer to the AE title called; correct the title or add it at the peer"
    if diagnostic == 0x03:
        return "the peer doesn't know the calling AE title; add it to those that the peer allows"
    return "the peer refused the association; try again later or look into its log"


def _store(association: Any, context_id: int | None, item: _Item, message_id: int) -> RefusedObject | None:
    """Send one object; None if the peer took it (success or a warning, PS3.4 B.2.3)."""
    if context_id is None:
        return RefusedObject(item.sop_uid, _SOP_CLASS_NOT_SUPPORTED, _NO_CONTEXT)
    if not association.is_established:
        return RefusedObject(item.sop_uid, None, "the association was lost")
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = item.sop_class
    request.AffectedSOPInstanceUID = item.sop_uid
    request.Priority = 2
    request.DataSet = BytesIO(item.data_set())
    association.dimse.send_msg(request, context_id)
    answer = _answer(association)
    if answer is None:
        if association.is_established:
            association.abort()
        return RefusedObject(item.sop_uid, None, "the peer didn't answer")
    status = int(answer.Status)
    if status == 0x0000 or status >> 12 == 0xB:
        return None
    kind = "out of resources" if status >> 8 == 0xA7 else "refused"
    return RefusedObject(item.sop_uid, status, f"{kind} by the peer, status 0x{status:04X}")


def _listen(association: Any) -> None:
    """Have the association's reactor hand every answer to us.

    `send_c_store` would decode and encode the data set anew, and pauses the reactor while it waits; on a busy
    machine the pause isn't always in force when the answer comes, which the reactor then takes and drops.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    association.wardround_answers = answers
    association._serve_request = lambda message, _context_id: answers.put(message)


def _answer(association: Any) -> Any:
    """The peer's next answer, None if there is none within its time or the association ends."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        try:
            return association.wardround_answers.get(timeout=0.5)
        except queue.Empty:
            if not association.is_established:
                return None
    return None


def _item(source: Path | bytes) -> _Item:
    if isinstance(source, bytes):
        head = source
    else:
        with source.open("rb") as file:
            head = file.read(_META_READ)
    try:
        meta, _ = read_file_meta(head)
    except Refused:
        # Private information may make the file meta information longer than what was read.
        if isinstance(source, bytes) or len(head) < _META_READ:
            raise
        meta, _ = read_file_meta(source.read_bytes())
    return _Item(source, meta.get(0x00020002, ""), meta.get(0x00020003, ""), meta.get(0x00020010, ""))


def _batches(items: list[_Item]) -> Iterator[list[_Item]]:
    """``items`` in runs with at most 128 kinds each."""
    batch: list[_Item] = []
    kinds: set[tuple[str, str]] = set()
    for item in items:
        if item.context not in kinds and len(kinds) == MOST_CONTEXTS:
            yield batch
            batch, kinds = [], set()
        batch.append(item)
        kinds.add(item.context)
    if batch:
        yield batch
