"""A Storage SCP of our own: listens, and serves each association in a thread."""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import ssl
import threading
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self

from wardround.dicom.network_association import Association, Seats
from wardround.dicom.network_classes import StorageClasses
from wardround.dicom.network_entrance import Entrance, Listener
from wardround.dicom.network_exchange import Services
from wardround.dicom.network_limits import Limits
from wardround.dicom.network_messages import Commitments, Landing, Sink
from wardround.dicom.network_negotiation import Offer
from wardround.dicom.network_seats import ProcessSeats
from wardround.dicom.network_tally import Tally
from wardround.dicom.network_tls import TlsSettings
from wardround.dicom.network_whole import WholeObjects
from wardround.dicom.network_wire import Wire, patient

log = logging.getLogger(__name__)

_LOOKS_EVERY = 5.0
_STOPS_WITHIN = 10.0
_numbers = itertools.count(1)


class StorageReceiver:
    """Answers C-STORE, C-ECHO and storage commitment; a :class:`~wardround.dicom.network_messages.Receiver`.

    Takes every storage SOP class in whatever transfer syntax the sender offers, and hands data sets on as they
    come. An object is answered with success only after the landing's `commit`, or the sink, has returned
    :class:`~wardround.dicom.network_messages.Accepted`. Both run in a thread per association.

    Args:
        ae_titles: the titles that it answers to; an association to another one is refused.
        sink: stores whole objects. If it raises OSError, the sender is told 0xA700 (out of resources).
        landing: in place of ``sink``, where objects stream to.
        host: the address to listen on.
        port: the port to listen on, 0 for a free one.
        calling_ae_titles: who may send; None for anyone.
        associations: how many may be open at once; one more is refused for the moment (PS3.8 Table 9-21).
        extra_sop_classes: private or newer SOP classes to store.
        accept_unknown: whether to store any SOP class that PS3.6 doesn't name.
        commitments: answers storage commitment; None: not offered.
        tls: speak TLS only; None: no encryption.
        limits: times and sizes.
        entrance: where connections come from in place of ``host`` and ``port``.
        seats: counts the open associations in place of ``associations``.

    Raises:
        ValueError: an AE title is empty or longer than 16 characters, or there is none; or not exactly one of
            ``sink`` and ``landing`` is given.
        TlsRefused: the files of ``tls`` can't be used.
    """

    def __init__(
        self,
        ae_titles: Collection[str],
        sink: Sink | None = None,
        *,
        landing: Landing | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        calling_ae_titles: Collection[str] | None = None,
        associations: int = 64,
        extra_sop_classes: Collection[str] = (),
        accept_unknown: bool = False,
        commitments: Commitments | None = None,
        tls: TlsSettings | None = None,
        limits: Limits | None = None,
        entrance: Entrance | None = None,
        seats: Seats | None = None,
    ) -> None:
        if not ae_titles:
            raise ValueError("a receiver needs at least one AE title to answer to")
        for title in (*ae_titles, *(calling_ae_titles or ())):
            if not title.strip() or len(title) > 16:
                raise ValueError("an AE title has 1 to 16 characters")
        if sink is not None and landing is None:
            landing = WholeObjects(sink)
        elif landing is None or sink is not None:
            raise ValueError("a receiver needs a sink or a landing, one of them")
        if associations < 1:
            raise ValueError("a receiver needs room for at least one association")
        self._limits = limits or Limits()
        self._offer = Offer(
            ae_titles=frozenset(title.strip() for title in ae_titles),
            calling_titles=None if calling_ae_titles is None else frozenset(t.strip() for t in calling_ae_titles),
            storage=StorageClasses(extra_sop_classes, accept_unknown=accept_unknown),
            commitment=commitments is not None,
            maximum_pdu=self._limits.maximum_pdu,
        )
        self._tally = Tally()
        self._services = Services(landing, commitments, self._tally)
        self._entrance = entrance or Listener((host, port), associations)
        self._seats = seats or ProcessSeats(associations)
        self._tls = tls.server() if tls is not None else None
        self._changing = threading.Lock()
        self._connections: _Connections | None = None

    @property
    def port(self) -> int:
        """The TCP port that it listens on; 0 as long as a free one was asked for and it isn't running."""
        return self._entrance.port

    def counts(self) -> Mapping[str, int]:
        """What happened since it was made, by code: ``associations``, ``stored``, ``refused-full``, ``stalled``, ..."""
        return self._tally.counts()

    def start(self) -> None:
        """Listen. Raises OSError if the address is taken."""
        with self._changing:
            if self._connections is None:
                self._connections = _Connections(
                    self._entrance, self._seats, self._offer, self._services, self._limits, self._tls
                )

    def stop(self) -> None:
        """Stop listening and abort what is going on; an object that is being committed is answered first.

        May come from any thread; what runs in the calling one ends when it returns. Harmless if it isn't running.
        """
        with self._changing:
            connections, self._connections = self._connections, None
        if connections:
            connections.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Connections:
    """The connections that are open, each with its thread."""

    def __init__(
        self,
        entrance: Entrance,
        seats: Seats,
        offer: Offer,
        services: Services,
        limits: Limits,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._entrance = entrance
        self._seats = seats
        self._offer = offer
        self._services = services
        self._limits = limits
        self._tls = tls
        self._open: dict[threading.Thread, _Connection] = {}
        self._lock = threading.Lock()
        entrance.open(self._take)

    def stop(self) -> None:
        # First the entrance, so that nothing new comes while the rest is ended.
        self._entrance.close()
        with self._lock:
            going = dict(self._open)
        for connection in going.values():
            connection.stop()
        for thread in going:
            if thread is not threading.current_thread():
                thread.join(_STOPS_WITHIN)
        for connection in going.values():
            connection.cut()

    def _take(self, made: socket.socket, peer: str) -> None:
        connection = _Connection(made, peer)
        thread = threading.Thread(target=self._serve, args=(connection,), name="dicom-association", daemon=True)
        with self._lock:
            self._open[thread] = connection
        thread.start()

    def _serve(self, connection: _Connection) -> None:
        try:
            wire = connection.open(self._tls, self._limits)
            if wire is None:
                self._services.tally.count("tls-failed")
                log.warning("a connection failed at its TLS handshake")
                return
            Association(
                wire,
                self._offer,
                self._services,
                self._limits,
                self._seats,
                number=next(_numbers),
                peer=connection.peer,
            ).run()
        finally:
            connection.cut()
            with self._lock:
                self._open.pop(threading.current_thread(), None)
            self._entrance.over()


class _Connection:
    """A connection from its acceptance on, also while TLS isn't settled."""

    def __init__(self, made: socket.socket, peer: str) -> None:
        self.peer = peer
        self._socket = made
        self._wire: Wire | None = None
        self._stopping = False
        self._lock = threading.Lock()

    def open(self, tls: ssl.SSLContext | None, limits: Limits) -> Wire | None:
        """The connection as it is to be read; None if the TLS handshake failed or took too long."""
        looks_every = min(limits.artim_seconds, limits.stall_seconds, limits.idle_seconds, _LOOKS_EVERY)
        made = self._socket
        made.setblocking(True)
        try:
            if tls is not None:
                made.settimeout(limits.artim_seconds)
                made = tls.wrap_socket(made, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._socket = made
                    if self._stopping:
                        return None
                made.do_handshake()
            patient(made, looks_every)
        except (OSError, ValueError):
            return None
        with self._lock:
            self._wire = Wire(made)
            if self._stopping:
                self._wire.stop()
        return self._wire

    def stop(self) -> None:
        """Have whoever reads it end soon."""
        with self._lock:
            self._stopping = True
            if self._wire is not None:
                self._wire.stop()
                return
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def cut(self) -> None:
        """Close it now."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._socket.close()
