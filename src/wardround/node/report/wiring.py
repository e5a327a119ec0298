"""The node's ways out for results, as `node.toml` says."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import timedelta

from wardround.contracts.stage import Audience
from wardround.dicom.network import CommitmentListener, CommitmentReport, Peer
from wardround.foundation.clock import Clock
from wardround.foundation.loop import Loop
from wardround.foundation.settings import SettingsRefused
from wardround.node.home import NodeHome
from wardround.node.report.commitment import Commitments, Terms
from wardround.node.report.pacs import PacsDelivery
from wardround.node.report.settings import CommitmentSettings
from wardround.node.report.shelf import Shelf
from wardround.node.settings import PacsSettings
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
        asking: list[Commitments] = []
        for pacs, audience in _peers(settings.pacs):
            calling = settings.dicom.ae_title
            ticks.append(PacsDelivery(home.database, results, pacs, calling, clock, audience).tick)
            if settings.report.commitment is not None:
                terms = _terms(home, pacs, settings.report.commitment, audience)
                asking.append(Commitments(home.database, terms, clock))
        ticks += [commitments.tick for commitments in asking]
        if settings.report.commitment is not None:
            if settings.pacs is None:
                raise SettingsRefused(
                    "[report.commitment] asks the PACS, and there is no [pacs]; add it, or leave it out"
                )
            self._listener = _listener(home, settings.pacs, settings.report.commitment, asking)
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


def _peers(pacs: PacsSettings | None) -> list[tuple[Peer, Audience]]:
    if pacs is None:
        return []
    peers: list[tuple[Peer, Audience]] = [(Peer(pacs.host, pacs.port, pacs.ae_title), "ward")]
    if pacs.examiners_title:
        peers.append((Peer(pacs.host, pacs.port, pacs.examiners_title), "examiners"))
    return peers


def _terms(home: NodeHome, pacs: Peer, settings: CommitmentSettings, audience: Audience) -> Terms:
    tls: ssl.SSLContext | None = None
    if settings.tls:
        tls = client_tls(home.settings.wire, "wire")
        if tls is None:
            raise SettingsRefused(
                "[report.commitment]: tls = true needs tls_certificate, tls_key and tls_trusted under [wire]"
            )
    return Terms(pacs, settings.ae_title, timedelta(minutes=settings.within_minutes), tls, audience)


def _listener(
    home: NodeHome, pacs: PacsSettings, settings: CommitmentSettings, asking: Sequence[Commitments]
) -> CommitmentListener:
    def taken(report: CommitmentReport) -> None:
        for commitments in asking:
            commitments.taken(report)

    return CommitmentListener(
        settings.ae_title,
        [title for title in (pacs.ae_title, pacs.examiners_title) if title],
        taken,
        host=settings.host,
        port=settings.port,
        tls=tls_of(home.settings.wire) if settings.tls else None,
    )
