"""The node's ways out for results, as `node.toml` says."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta

from wardround.dicom.network import CommitmentListener, Peer
from wardround.foundation.clock import Clock
from wardround.foundation.loop import Loop
from wardround.foundation.settings import SettingsRefused
from wardround.node.home import NodeHome
from wardround.node.report.commitment import Commitments, Terms
from wardround.node.report.pacs import PacsDelivery
from wardround.node.report.settings import CommitmentSettings
from wardround.node.report.shelf import Shelf
from wardround.node.wire import client_tls, tls_of

_PAUSE = 0.4


def shelf_at(home: NodeHome) -> Shelf:
    """Where a node's results lie until they are sent."""
    pacs = home.settings.pacs
    return Shelf(home.path / "results", examiners=pacs is not None and bool(pacs.examiners_title))


class Reports:
    """Sends results for as long as the node serves; one of the node's parts that run beside its link.

    Raises:
        SettingsRefused: `[report]` asks for TLS, and `[wire]` has no files for it; or for commitment without a PACS.
    """

    def __init__(self, home: NodeHome, clock: Clock) -> None:
        settings, results = home.settings, home.path / "results"
        self._listener: CommitmentListener | None = None
        ticks: list[Callable[[], object]] = []
        if settings.pacs is not None:
            pacs = Peer(settings.pacs.host, settings.pacs.port, settings.pacs.ae_title)
            ticks.append(PacsDelivery(home.database, results, pacs, settings.dicom.ae_title, clock).tick)
            if settings.pacs.examiners_title:
                apart = Peer(settings.pacs.host, settings.pacs.port, settings.pacs.examiners_title)
                sends = PacsDelivery(home.database, results, apart, settings.dicom.ae_title, clock, "examiners")
                ticks.append(sends.tick)
            if settings.report.commitment is not None:
                ticks.append(self._commitments(home, pacs, settings.report.commitment, clock).tick)
        elif settings.report.commitment is not None:
            raise SettingsRefused("[report.commitment] asks the PACS, and there is no [pacs]; add it, or leave it out")
        self._loop = Loop("reports", ticks, pause=_PAUSE) if ticks else None

    @property
    def port(self) -> int | None:
        """Where the PACS reports on storage commitment."""
        return None if self._listener is None else self._listener.port

    def start(self) -> None:
        if self._listener is not None:
            self._listener.start()
        if self._loop is not None:
            self._loop.start()

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.stop()
        if self._listener is not None:
            self._listener.stop()

    def _commitments(self, home: NodeHome, pacs: Peer, settings: CommitmentSettings, clock: Clock) -> Commitments:
        tls: ssl.SSLContext | None = None
        if settings.tls:
            tls = client_tls(home.settings.wire, "wire")
            if tls is None:
                raise SettingsRefused(
                    "[report.commitment]: tls = true needs tls_certificate, tls_key and tls_trusted under [wire]"
                )
        within = timedelta(minutes=settings.within_minutes)
        commitments = Commitments(home.database, Terms(pacs, settings.ae_title, within, tls), clock)
        self._listener = CommitmentListener(
            settings.ae_title,
            pacs.ae_title,
            commitments.taken,
            host=settings.host,
            port=settings.port,
            tls=tls_of(home.settings.wire) if settings.tls else None,
        )
        return commitments
