"""An association on which this program asks, and every message of the peer's is ours to answer."""

from __future__ import annotations

import queue
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network_messages import Peer
from wardround.dicom.network_peer import ask_for_association, entity_of
from wardround.dicom.network_query_status import Cancelled, ConnectionLost, NotServed

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 300.0
"""How long a PACS may be silent within a request: it may be fetching from tape."""
_LOOKED_AT_EVERY = 0.2
_CANCEL_EVERY = 2.0
_MOST_CANCELS = 5
_RESPONSE = 0x8000

Stop = Callable[[], bool]
"""Asked now and then while a request is under way; True ends it by a C-CANCEL (PS3.7 9.3.2.3)."""


class Conversation:
    """Requests and answers on one established association; for one thread."""

    def __init__(self, association: Any) -> None:
        self._association = association
        self._messages: queue.SimpleQueue[tuple[Any, int]] = queue.SimpleQueue()
        self._number = 0
        # pynetdicom's own senders pause the reactor while they wait, and now and then it takes the answer all the same.
        association._serve_request = lambda message, context_id: self._messages.put((message, context_id))

    def context(self, *sop_classes: str) -> PresentationContext:
        """The accepted presentation context of the first of `sop_classes` that has one.

        Raises:
            NotServed: none of them was accepted.
        """
        for sop_class in sop_classes:
            for context in self._association.accepted_contexts:
                if context.abstract_syntax == sop_class:
                    return context
        raise NotServed("the PACS doesn't offer this service to us; look at what it allows this node's AE title")

    def transfer_syntax(self, context_id: int) -> str:
        """The transfer syntax of an accepted context."""
        for context in self._association.accepted_contexts:
            if context.context_id == context_id:
                return str(context.transfer_syntax[0])
        return ""

    def ask(
        self, request: Any, context: PresentationContext, identifier: Dataset, *, cancelled: Stop
    ) -> Iterator[tuple[Any, int]]:
        """Send a request and yield every message that follows, with its context, until the caller stops.

        Raises:
            ConnectionLost: the association ended, or the peer was silent for too long.
        """
        self._number += 1
        syntax = context.transfer_syntax[0]
        request.MessageID = self._number
        request.AffectedSOPClassUID = context.abstract_syntax
        request.Priority = 2
        encoded = encode(identifier, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
        request.Identifier = BytesIO(encoded or b"")
        self._association.dimse.send_msg(request, context.context_id)
        quiet_since = time.monotonic()
        cancels = 0
        while True:
            # A C-CANCEL that overtakes its request is dropped by some; it is said more than once, then hung up.
            if cancelled() and time.monotonic() - quiet_since >= cancels * _CANCEL_EVERY:
                if cancels == _MOST_CANCELS or not self._association.is_established:
                    self._association.abort()
                    raise Cancelled("the request was cancelled before its end")
                self._association.send_c_cancel(self._number, context.context_id)
                cancels += 1
            try:
                message, context_id = self._messages.get(timeout=_LOOKED_AT_EVERY)
            except queue.Empty:
                if not self._association.is_established and self._messages.empty():
                    raise ConnectionLost("the PACS ended the connection in the middle; it is tried again") from None
                if time.monotonic() - quiet_since > ANSWER_SECONDS:
                    self._association.abort()
                    raise ConnectionLost("the PACS said nothing for too long; it is tried again") from None
                continue
            yield message, context_id
            quiet_since = time.monotonic()

    def answer(self, response: Any, context_id: int) -> None:
        """Send a response to a request of the peer's."""
        if self._association.is_established:
            self._association.dimse.send_msg(response, context_id)


def read_identifier(encoded: BytesIO | None, syntax: Any) -> Dataset:
    """The data set of an answer; an empty one where there is none."""
    if encoded is None:
        return Dataset()
    read: Dataset = decode(encoded, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    return read


@contextmanager
def conversation(
    peer: Peer,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    *,
    tls: ssl.SSLContext | None = None,
    stores: Sequence[str] = (),
) -> Iterator[Conversation]:
    """An association with `peer`, released at the end.

    Args:
        contexts: what to propose, 128 at most (PS3.8 9.3.2.2).
        tls: speak DICOM TLS (PS3.15 Annex B) with this context.
        stores: storage SOP classes that the peer may send us on this association (role selection, PS3.7 D.3.3.4).

    Raises:
        PeerUnreachable: nothing answers there, or not in TLS as asked.
        AssociationRefused: the peer doesn't talk to us, or offers none of `contexts`.
    """
    entity = entity_of(calling_ae)
    entity.connection_timeout = entity.acse_timeout = CONNECT_SECONDS
    entity.network_timeout = None
    association = ask_for_association(entity, peer, contexts, tls=tls, provider_of=list(dict.fromkeys(stores)))
    if not association.is_established:
        if association.is_rejected:
            raise AssociationRefused(_why_rejected(association))
        if association.acceptor.primitive is not None:
            raise AssociationRefused("the PACS offers none of these services; look at what it allows this AE title")
        raise PeerUnreachable("no DICOM peer answers there; check that it runs, its host, its port and its TLS")
    try:
        yield Conversation(association)
    finally:
        if association.is_established:
            association.release()


def _why_rejected(association: Any) -> str:
    """A-ASSOCIATE-RJ, source service user: reasons 3 and 7 (PS3.8 9.3.4)."""
    diagnostic = getattr(association.acceptor.primitive, "diagnostic", None)
    if diagnostic == 0x07:
        return "the PACS doesn't answer to the AE title called; correct the title or add it there"
    if diagnostic == 0x03:
        return "the PACS doesn't know the calling AE title; add this node to those that it allows"
    return "the PACS refused the association; try again later or look into its log"
