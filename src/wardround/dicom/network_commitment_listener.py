"""Where a peer reports what became of a request for storage commitment, on an association of its own (PS3.4 J.3.3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from wardround.dicom.network_classes import COMMITMENT, EXPLICIT, IMPLICIT
from wardround.dicom.network_commitment import ReportUnreadable, read_report
from wardround.dicom.network_dimse import Status
from wardround.dicom.network_messages import CommitmentReport
from wardround.dicom.network_peer import entity_of, send_at_once
from wardround.dicom.network_provider import ThreadedServer
from wardround.dicom.network_tls import TlsSettings

_ASSOCIATIONS = 8
_PLAIN = [EXPLICIT, IMPLICIT]


class CommitmentListener:
    """Answers N-EVENT-REPORT and C-ECHO of one peer, in threads of its own.

    Args:
        title: the AE title that the requests are made from.
        peer_titles: who may report; anybody else is refused.
        taken: is told each report, from several threads. If it raises OSError, the peer is told to try again.
        port: 0 for a free one.
        tls: speak DICOM TLS only.

    Raises:
        TlsRefused: the files of `tls` can't be used.
    """

    def __init__(
        self,
        title: str,
        peer_titles: Collection[str],
        taken: Callable[[CommitmentReport], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: TlsSettings | None = None,
    ) -> None:
        self._taken = taken
        self._address = (host, port)
        self._tls = None if tls is None else tls.server()
        self._entity = entity_of(title)
        self._entity.maximum_associations = _ASSOCIATIONS
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = list(peer_titles)
        self._server: ThreadedServer | None = None

    @property
    def port(self) -> int:
        return int(self._server.server_address[1]) if self._server is not None else self._address[1]

    def start(self) -> None:
        """Listen. Raises OSError if the address is taken."""
        reports = build_context(COMMITMENT, _PLAIN)
        # The caller is the provider of this service (PS3.7 D.3.3.4).
        reports.scu_role, reports.scp_role = False, True
        self._server = self._entity.make_server(
            self._address,
            contexts=[build_context(Verification, _PLAIN), reports],
            ssl_context=self._tls,
            evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once), (evt.EVT_N_EVENT_REPORT, self._reported)],
            server_class=ThreadedServer,
        )
        self._entity._servers.append(self._server)
        threading.Thread(target=self._server.serve_forever, name="commitment-reports", daemon=True).start()

    def stop(self) -> None:
        """Stop listening. Harmless if it isn't running."""
        self._entity.shutdown()
        self._server = None

    def _reported(self, event: Any) -> tuple[int, None]:
        information = event.request.EventInformation
        try:
            data = information.getvalue() if information is not None else b""
            self._taken(read_report(data, str(event.context.transfer_syntax)))
        except (ReportUnreadable, OSError):
            return int(Status.PROCESSING_FAILURE), None
        return int(Status.SUCCESS), None
