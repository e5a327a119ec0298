"""A Storage SCP over pynetdicom."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
from pynetdicom.sop_class import Verification

from wardround.dicom.header_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from wardround.dicom.network_messages import OUT_OF_RESOURCES, Accepted, Received, Sink

MAXIMUM_PDU = 131072
_SUCCESS = 0x0000
# A-ASSOCIATE-RJ: permanent, by the service user, AE title not recognised (PS3.8 9.3.4).
_CALLED_AE_UNKNOWN = (0x01, 0x01, 0x07)
_CALLING_AE_UNKNOWN = (0x01, 0x01, 0x03)


class StorageReceiver:
    """Answers C-STORE and C-ECHO; a :class:`~wardround.dicom.network_messages.Receiver`.

    Takes every storage SOP class in whatever transfer syntax the sender offers. An object is answered with success
    only after ``sink`` has returned :class:`Accepted`; ``sink`` runs in a thread per association.

    Args:
        ae_titles: the titles that it answers to; an association to another one is refused.
        sink: stores an object. If it raises OSError, the sender is told 0xA700 (out of resources).
        host: the address to listen on.
        port: the port to listen on, 0 for a free one.
        calling_ae_titles: who may send; None for anyone.
        associations: how many may be open at once.

    Raises:
        ValueError: an AE title is empty or longer than 16 characters, or there is none.
    """

    def __init__(
        self,
        ae_titles: Collection[str],
        sink: Sink,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        calling_ae_titles: Collection[str] | None = None,
        associations: int = 16,
    ) -> None:
        if not ae_titles:
            raise ValueError("a receiver needs at least one AE title to answer to")
        for title in (*ae_titles, *(calling_ae_titles or ())):
            if not title.strip() or len(title) > 16:
                raise ValueError("an AE title has 1 to 16 characters")
        self._ae_titles = frozenset(title.strip() for title in ae_titles)
        self._calling = None if calling_ae_titles is None else frozenset(t.strip() for t in calling_ae_titles)
        self._sink = sink
        self._host = host
        self._wanted_port = port
        self._associations = associations
        self._stopping = threading.Lock()
        self._server: Any = None
        self._entity: Any = None

    @property
    def port(self) -> int:
        """The TCP port that it listens on; 0 as long as a free one was asked for and it isn't running."""
        return int(self._server.server_address[1]) if self._server else self._wanted_port

    def start(self) -> None:
        """Listen. Raises OSError if the address is taken."""
        if self._server:
            return
        quieten()
        entity = AE(ae_title=sorted(self._ae_titles)[0])
        entity.maximum_pdu_size = MAXIMUM_PDU
        entity.maximum_associations = self._associations
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        entity.add_supported_context(Verification)
        self._entity = entity
        self._server = entity.start_server(
            (self._host, self._wanted_port),
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, send_at_once),
                (evt.EVT_REQUESTED, self._check_titles),
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_C_ECHO, _echo),
            ],
        )

    def stop(self) -> None:
        """Stop listening and abort what is going on, from any thread but the sink's. Harmless if it isn't running."""
        with self._stopping:
            if self._entity:
                self._entity.shutdown()
            self._server = self._entity = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _check_titles(self, event: Any) -> None:
        request = event.assoc.requestor.primitive
        if request.called_ae_title.strip() not in self._ae_titles:
            _reject(event.assoc, _CALLED_AE_UNKNOWN)
        elif self._calling is not None and request.calling_ae_title.strip() not in self._calling:
            _reject(event.assoc, _CALLING_AE_UNKNOWN)

    def _store(self, event: Any) -> int:
        request = event.assoc.requestor.primitive
        received = Received(
            called_ae=request.called_ae_title.strip(),
            calling_ae=request.calling_ae_title.strip(),
            sop_class_uid=str(event.request.AffectedSOPClassUID),
            sop_instance_uid=str(event.request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            dataset_bytes=event.encoded_dataset(include_meta=False),
        )
        try:
            answer = self._sink(received)
        except OSError:
            return OUT_OF_RESOURCES
        return _SUCCESS if isinstance(answer, Accepted) else answer.status


def send_at_once(event: Any) -> None:
    """Switch Nagle's algorithm off, which would hold each short answer back for tens of milliseconds."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def quieten() -> None:
    """Keep pynetdicom from logging requests, which name instances and AE titles."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.WARNING)


def _reject(association: Any, answer: tuple[int, int, int]) -> None:
    association.acse.send_reject(*answer)
    # Ends the association's threads once the answer is out; without it, the connection closes first.
    association.kill()


def _echo(event: Any) -> int:
    return _SUCCESS
