"""Answers queries and sends what they name: C-FIND, C-MOVE and C-GET as SCP (PS3.4 Annex C), over pynetdicom.

Both the Study Root and the Patient Root model are served. What is sent goes as it is stored; to a caller of C-GET that
takes no such transfer syntax, uncompressed where that is possible.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from wardround.dicom.damage import DAMAGE
from wardround.dicom.network_classes import EXPLICIT, IMPLICIT, STORAGE_CLASSES
from wardround.dicom.network_messages import Peer
from wardround.dicom.network_peer import entity_of, send_at_once
from wardround.dicom.network_retrieve import COMPRESSED, MOST_CONTEXTS
from wardround.dicom.network_tls import TlsSettings

ASSOCIATIONS = 16
HANDSHAKE_SECONDS = 10.0
MOST_SENT = 65_535
"""Sub-operations of one request: their numbers are US (PS3.7 9.1.4.1)."""
_PENDING, _PENDING_SOME_KEYS, _CANCEL = 0xFF00, 0xFF01, 0xFE00
_NO_MATCHES_NOW, _DESTINATION_UNKNOWN, _NOT_MATCHING, _CANT_PROCESS = 0xA701, 0xA801, 0xA900, 0xC000
_PLAIN = [EXPLICIT, IMPLICIT]
_Taken = set[tuple[str, str]]
"""Pairs of SOP class and transfer syntax that a caller of C-GET takes."""
_PATIENT_ROOT = frozenset(
    {
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
    }
)
_MODELS = (
    *_PATIENT_ROOT,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


class IdentifierRefused(Exception):
    """What was asked doesn't fit the information model: status 0xA900."""


class ArchiveUnavailable(Exception):
    """The archive can't look now: status 0xA701."""


@dataclass(frozen=True, slots=True)
class Held:
    """An object that the archive holds: a Part 10 file, and what its header says of it."""

    file: Path
    sop_class: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Match:
    """An answer. `every_key`: all keys that were asked for took part in matching (PS3.4 Table C.4-1)."""

    identifier: Dataset
    every_key: bool = True


class Archive(Protocol):
    """What is searched and sent. `caller` is the AE title that asks.

    Both may raise `IdentifierRefused` and `ArchiveUnavailable`.
    """

    def find(self, level: Level, identifier: Dataset) -> Iterator[Match]: ...

    def objects(self, level: Level, identifier: Dataset, caller: str) -> Sequence[Held]: ...

    def uncompressed(self, held: Held) -> Dataset | None:
        """The object in Explicit VR Little Endian; None where its pixels can't be decoded."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """An application entity that may ask. `destination`: where it listens, so that C-MOVE can send there."""

    destination: Peer | None = None
    tls: ssl.SSLContext | None = None


class QueryProvider:
    """A Query/Retrieve SCP under one AE title, in threads of its own.

    Args:
        callers: by AE title, those that may ask, and where to. Nobody else is let in.
        tls: speak DICOM TLS only.
        port: 0 for a free one.

    Raises:
        TlsRefused: the files of `tls` can't be used.
    """

    def __init__(
        self,
        title: str,
        archive: Archive,
        callers: Mapping[str, Caller],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: TlsSettings | None = None,
        associations: int = ASSOCIATIONS,
    ) -> None:
        self._archive = archive
        self._callers = dict(callers)
        self._address = (host, port)
        self._tls = None if tls is None else tls.server()
        self._entity = entity_of(title)
        self._entity.maximum_associations = associations
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = list(self._callers)
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        return int(self._server.server_address[1]) if self._server is not None else self._address[1]

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address can't be had.
        """
        if not self._callers:
            return
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, send_at_once),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_C_GET, self._get),
        ]
        self._server = self._entity.make_server(
            self._address,
            contexts=_contexts(),
            ssl_context=self._tls,
            evt_handlers=handlers,
            server_class=ThreadedServer,
        )
        self._entity._servers.append(self._server)
        threading.Thread(target=self._server.serve_forever, name="query-provider", daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and abort what is under way."""
        self._entity.shutdown()
        self._server = None

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        try:
            level, identifier = _asked(event)
            for match in self._archive.find(level, identifier):
                if event.is_cancelled:
                    yield _CANCEL, None
                    return
                yield _PENDING if match.every_key else _PENDING_SOME_KEYS, match.identifier
        except IdentifierRefused:
            yield _NOT_MATCHING, None
        except ArchiveUnavailable:
            yield _NO_MATCHES_NOW, None

    def _move(self, event: Any) -> Iterator[Any]:
        caller = self._callers.get(str(event.move_destination).strip())
        if caller is None or caller.destination is None:
            yield None, None
            return
        destination = caller.destination
        held, refused = self._held(event)
        options: dict[str, Any] = {"contexts": _contexts_for(held), "max_pdu": self._entity.maximum_pdu_size}
        if caller.tls is not None:
            options["tls_args"] = (caller.tls, destination.host)
        yield destination.host, destination.port, options
        yield from self._sent(event, held, refused, None)

    def _get(self, event: Any) -> Iterator[Any]:
        held, refused = self._held(event)
        taken = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in event.assoc.accepted_contexts
            if context.as_scu
        }
        yield from self._sent(event, held, refused, taken)

    def _held(self, event: Any) -> tuple[Sequence[Held], int | None]:
        """What to send, or the status of the refusal."""
        try:
            level, identifier = _asked(event)
            held = self._archive.objects(level, identifier, event.assoc.requestor.ae_title.strip())
        except IdentifierRefused:
            return (), _NOT_MATCHING
        except ArchiveUnavailable:
            return (), _NO_MATCHES_NOW
        return (held, None) if len(held) <= MOST_SENT else ((), _CANT_PROCESS)

    def _sent(self, event: Any, held: Sequence[Held], refused: int | None, taken: _Taken | None) -> Iterator[Any]:
        if refused is not None:
            yield 1
            yield refused, None
            return
        yield len(held)
        for one in held:
            if event.is_cancelled:
                yield _CANCEL, None
                return
            yield _PENDING, self._data(one, taken)

    def _data(self, held: Held, taken: _Taken | None) -> Dataset:
        """The object as it goes over the wire. One that can't be read is an empty data set, which counts as failed."""
        if taken is not None and held.transfer_syntax not in _PLAIN:
            plain = any((held.sop_class, syntax) in taken for syntax in _PLAIN)
            if plain and (held.sop_class, held.transfer_syntax) not in taken:
                return self._archive.uncompressed(held) or Dataset()
        try:
            return dcmread(held.file)
        except DAMAGE:
            return Dataset()


class ThreadedServer(ThreadedAssociationServer):  # type: ignore[misc]  # pynetdicom has no types
    """A TLS handshake is made in the association's own thread, so that a caller that stalls holds up nobody."""

    def get_request(self) -> tuple[Any, Any]:
        connection, address = self.socket.accept()
        if self.ssl_context is not None:
            connection.settimeout(HANDSHAKE_SECONDS)
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
            request.settimeout(None)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that doesn't get through its handshake is nobody's error here."""


def _asked(event: Any) -> tuple[Level, Dataset]:
    try:
        identifier: Dataset = event.identifier
        level = Level(str(identifier.get("QueryRetrieveLevel", "")).strip())
    except DAMAGE:
        raise IdentifierRefused from None
    if level is Level.PATIENT and event.context.abstract_syntax not in _PATIENT_ROOT:
        raise IdentifierRefused
    return level, identifier


def _contexts() -> list[PresentationContext]:
    """What is taken: verification, queries, and every storage class for which a caller of C-GET is the SCP."""
    services = [build_context(model, _PLAIN) for model in (Verification, *_MODELS)]
    stores = []
    for sop_class in sorted(STORAGE_CLASSES):
        context = build_context(sop_class, [*_PLAIN, *COMPRESSED])
        # The requestor's proposal to be the SCP of storage is accepted (PS3.7 D.3.3.4).
        context.scp_role, context.scu_role = True, False
        stores.append(context)
    return services + stores


def _contexts_for(held: Sequence[Held]) -> list[PresentationContext]:
    """What C-MOVE proposes to its destination: every class in each transfer syntax that it is stored in."""
    pairs = sorted({(one.sop_class, one.transfer_syntax) for one in held})
    plain = sorted({sop_class for sop_class, syntax in pairs if syntax in _PLAIN})
    contexts = [build_context(sop_class, _PLAIN) for sop_class in plain]
    contexts += [build_context(sop_class, [syntax]) for sop_class, syntax in pairs if syntax not in _PLAIN]
    return (contexts or [build_context(Verification, _PLAIN)])[:MOST_CONTEXTS]
