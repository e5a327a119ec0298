"""A Storage and Verification SCU over pynetdicom; data sets travel byte for byte as they are in the file."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.sop_class import Verification

from wardround.dicom.errors import AssociationRefused, Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.network_messages import Peer, RefusedObject, SendReport
from wardround.dicom.network_peer import answer, association, listen

MOST_CONTEXTS = 128
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


def send(
    files: Iterable[Path | bytes],
    to: Peer,
    calling_ae: str,
    progress: Progress | None = None,
    *,
    tls: ssl.SSLContext | None = None,
) -> SendReport:
    """Send Part 10 files by C-STORE (PS3.4 Annex B), in their order, each in the transfer syntax that it is in.

    One association carries up to 128 presentation contexts (PS3.8 9.3.2.2); more kinds take more associations.

    Args:
        files: paths or whole files.
        to: the receiver.
        calling_ae: the AE title to call from.
        progress: called with (done, total) after each object.
        tls: for a peer that wants TLS (`TlsSettings.client`).

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
        with association(to, calling_ae, wanted, tls=tls) as made:
            listen(made)
            contexts = {
                (str(context.abstract_syntax), str(context.transfer_syntax[0])): context.context_id
                for context in made.accepted_contexts
            }
            for number, item in enumerate(batch):
                failure = _store(made, contexts.get(item.context), item, number % 0xFFFF + 1)
                if failure is None:
                    accepted.append(item.sop_uid)
                else:
                    refused.append(failure)
                if progress:
                    progress(len(accepted) + len(refused), len(items))
    return SendReport(tuple(accepted), tuple(refused))


def echo(peer: Peer, calling_ae: str, *, tls: ssl.SSLContext | None = None) -> None:
    """Verify that ``peer`` answers (C-ECHO, PS3.4 Annex A).

    Raises:
        PeerUnreachable: nothing answers there.
        AssociationRefused: the peer refuses this AE title, or answers with a failure.
    """
    with association(peer, calling_ae, [(str(Verification), "1.2.840.10008.1.2")], tls=tls) as made:
        listen(made)
        request = C_ECHO()
        request.MessageID = 1
        request.AffectedSOPClassUID = Verification
        made.dimse.send_msg(request, made.accepted_contexts[0].context_id)
        reply = answer(made)
        if reply is None or int(reply.Status) != 0x0000:
            raise AssociationRefused("the peer took the association and failed to answer C-ECHO; look into its log")


def _store(made: Any, context_id: int | None, item: _Item, message_id: int) -> RefusedObject | None:
    """Send one object; None if the peer took it (success or a warning, PS3.4 B.2.3)."""
    if context_id is None:
        return RefusedObject(item.sop_uid, _SOP_CLASS_NOT_SUPPORTED, _NO_CONTEXT)
    if not made.is_established:
        return RefusedObject(item.sop_uid, None, "the association was lost")
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = item.sop_class
    request.AffectedSOPInstanceUID = item.sop_uid
    request.Priority = 2
    request.DataSet = BytesIO(item.data_set())
    made.dimse.send_msg(request, context_id)
    reply = answer(made)
    if reply is None:
        if made.is_established:
            made.abort()
        return RefusedObject(item.sop_uid, None, "the peer didn't answer")
    status = int(reply.Status)
    if status == 0x0000 or status >> 12 == 0xB:
        return None
    kind = "out of resources" if status >> 8 == 0xA7 else "refused"
    return RefusedObject(item.sop_uid, status, f"{kind} by the peer, status 0x{status:04X}")


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
