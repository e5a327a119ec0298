"""An association with a peer, on the side that asks for it, over pynetdicom."""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, _config, build_context, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_role

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.header_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from wardround.dicom.network_limits import MAXIMUM_PDU
from wardround.dicom.network_messages import Peer

ANSWER_SECONDS = 60.0


@contextmanager
def association(
    peer: Peer,
    calling_ae: str,
    contexts: Sequence[tuple[str, str]],
    *,
    tls: ssl.SSLContext | None = None,
    provider_of: Sequence[str] = (),
) -> Iterator[Any]:
    """An association for pairs of SOP class and transfer syntax, released at the end.

    ``provider_of`` are SOP classes for which we're the provider, though we call (PS3.7 D.3.3.4).

    Raises:
        PeerUnreachable: nothing answers there.
        AssociationRefused: the peer refuses, or takes none of ``contexts``.
    """
    proposed = [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in contexts]
    made = ask_for_association(entity_of(calling_ae), peer, proposed, tls=tls, provider_of=provider_of)
    if not made.is_established:
        if made.is_rejected:
            raise AssociationRefused(_why_rejected(made))
        if made.acceptor.primitive is not None:
            raise AssociationRefused("the peer takes none of these classes of object; check what it accepts")
        raise PeerUnreachable("no DICOM peer answers there; check that it runs, its host and its port")
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


def entity_of(calling_ae: str) -> AE:
    """This program as an application entity that calls."""
    quieten()
    entity = AE(ae_title=calling_ae)
    entity.maximum_pdu_size = MAXIMUM_PDU
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    return entity


def ask_for_association(
    entity: AE,
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    tls: ssl.SSLContext | None,
    provider_of: Sequence[str],
) -> Any:
    """pynetdicom's association with `peer`: established, rejected, or neither."""
    made = entity.associate(
        peer.host,
        peer.port,
        contexts=list(contexts),
        ae_title=peer.ae_title,
        max_pdu=MAXIMUM_PDU,
        ext_neg=[build_role(sop_class, scu_role=False, scp_role=True) for sop_class in provider_of],
        tls_args=None if tls is None else (tls, peer.host),
        evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)],
    )
    if not made.is_established and not made.is_rejected:
        # Where the answer came and the connection went before pynetdicom looked, it takes it for one never made.
        unread = made.dul.receive_pdu(wait=False)
        if isinstance(unread, A_ASSOCIATE) and unread.result:
            made.acceptor.primitive, made.is_rejected = unread, True
    return made


def listen(made: Any) -> None:
    """Have the association's reactor hand every answer to `answer`.

    `send_c_store` would decode and encode the data set anew, and pauses the reactor while it waits; on a busy
    machine the pause isn't always in force when the answer comes, which the reactor then takes and drops.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    made.wardround_answers = answers
    made._serve_request = lambda message, _context_id: answers.put(message)


def answer(made: Any, *, seconds: float = ANSWER_SECONDS) -> Any:
    """The peer's next message, None if there is none within its time or the association ends."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            return made.wardround_answers.get(timeout=min(0.5, left))
        except queue.Empty:
            if not made.is_established:
                return None
    return None


def send_at_once(event: Any) -> None:
    """Switch Nagle's algorithm off, which would hold each short answer back for tens of milliseconds."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def quieten() -> None:
    """Keep pynetdicom from logging requests, which name instances and AE titles."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.WARNING)


def _why_rejected(made: Any) -> str:
    diagnostic = getattr(made.acceptor.primitive, "diagnostic", None)
    if diagnostic == 0x07:
        return "the peer doesn't answer to the AE title called; correct the title or add it at the peer"
    if diagnostic == 0x03:
        return "the peer doesn't know the calling AE title; add it to those that the peer allows"
    return "the peer refused the association; try again later or look into its log"
