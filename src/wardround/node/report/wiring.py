"""The node's ways out for results, as `node.toml` says."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import httpx

from wardround.contracts.stage import Audience, StageName
from wardround.dicom.network import CommitmentListener, CommitmentReport, Peer, TlsRefused, TlsSettings, send
from wardround.foundation.clock import Clock
from wardround.foundation.loop import Loop
from wardround.foundation.renewed import RenewedContext, no_password
from wardround.foundation.settings import SettingsRefused
from wardround.node.home import NodeHome
from wardround.node.report.commitment import Commitments, Terms
from wardround.node.report.document import OutputKind
from wardround.node.report.fhir_delivery import TYPE, FhirDelivery
from wardround.node.report.hl7_delivery import SECONDS, Hl7Delivery, Listener
from wardround.node.report.oru import Addressing
from wardround.node.report.pacs import PacsDelivery, Store
from wardround.node.report.settings import CommitmentSettings, FhirSettings, Hl7Settings, StowSettings
from wardround.node.report.shelf import Shelf
from wardround.node.report.stow import Stow
from wardround.node.settings import PacsSettings
from wardround.node.wire import client_tls, tls_of

_PAUSE = 0.4


def shelf_at(home: NodeHome) -> Shelf:
    """Where a node's results lie until they are sent."""
    pacs, report = home.settings.pacs, home.settings.report
    from_stage: dict[OutputKind, StageName] = {}
    if report.fhir is not None:
        from_stage[OutputKind.FHIR] = report.fhir.from_stage
    if report.hl7 is not None:
        from_stage[OutputKind.HL7] = report.hl7.from_stage
    if report.dicomweb is not None:
        examiners = bool(report.dicomweb.examiners_url)
    else:
        examiners = pacs is not None and bool(pacs.examiners_title)
    return Shelf(home.path / "results", from_stage, examiners=examiners)


class Reports:
    """Sends results for as long as the node serves; one of the node's parts that run beside its link.

    Raises:
        SettingsRefused: `[report]` asks for TLS, and the files for it aren't there or can't be used; for commitment,
            and there is no PACS; or it names the hub as where findings go.
    """

    def __init__(self, home: NodeHome, clock: Clock) -> None:
        settings, results = home.settings, home.path / "results"
        self._listener: CommitmentListener | None = None
        ticks: list[Callable[[], object]] = [
            PacsDelivery(home.database, results, store, clock, audience).tick for store, audience in _stores(home)
        ]
        asking: list[Commitments] = []
        if settings.report.commitment is not None:
            for pacs, audience in _peers(settings.pacs):
                terms = _terms(home, pacs, settings.report.commitment, audience)
                asking.append(Commitments(home.database, terms, clock))
        ticks += [commitments.tick for commitments in asking]
        if settings.report.commitment is not None:
            if settings.pacs is None:
                raise SettingsRefused(
                    "[report.commitment] asks the PACS, and there is no [pacs]; add it, or leave it out"
                )
            self._listener = _listener(home, settings.pacs, settings.report.commitment, asking)
        ways = {"reports-pacs": ticks}
        if settings.report.fhir is not None:
            ways["reports-fhir"] = [_fhir(home, settings.report.fhir, clock).tick]
        if settings.report.hl7 is not None:
            ways["reports-hl7"] = [_hl7(home, settings.report.hl7, clock).tick]
        # One thread each, so that whoever doesn't answer holds up nobody else's results.
        self._loops = [Loop(name, ticks, pause=_PAUSE, told=home.database) for name, ticks in ways.items() if ticks]

    @property
    def port(self) -> int | None:
        """Where the PACS reports on storage commitment."""
        return None if self._listener is None else self._listener.port

    def start(self) -> None:
        if self._listener is not None:
            self._listener.start()
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        for loop in self._loops:
            loop.stop()
        if self._listener is not None:
            self._listener.stop()


def _peers(pacs: PacsSettings | None) -> list[tuple[Peer, Audience]]:
    if pacs is None:
        return []
    peers: list[tuple[Peer, Audience]] = [(Peer(pacs.host, pacs.port, pacs.ae_title), "ward")]
    if pacs.examiners_title:
        peers.append((Peer(pacs.host, pacs.port, pacs.examiners_title), "examiners"))
    return peers


def _stores(home: NodeHome) -> list[tuple[Store, Audience]]:
    """The ways to the PACS: over the web where its address there is set, else by C-STORE."""
    settings = home.settings
    if settings.report.dicomweb is None:
        calling = settings.dicom.ae_title
        tls = _wire_tls(home, "report") if settings.report.tls else None
        peers = _peers(settings.pacs)
        return [(partial(send, to=peer, calling_ae=calling, tls=tls), audience) for peer, audience in peers]
    web = settings.report.dicomweb
    client = _web_client(web, "dicomweb", {})
    places: list[tuple[str, Audience]] = [(web.url, "ward"), (web.examiners_url, "examiners")]
    for url, _ in places:
        _check_not_the_hub(home, urlsplit(url).hostname or "", "dicomweb")
    return [(Stow(client, url), audience) for url, audience in places if url]


def _terms(home: NodeHome, pacs: Peer, settings: CommitmentSettings, audience: Audience) -> Terms:
    tls = _wire_tls(home, "report.commitment") if settings.tls else None
    return Terms(pacs, settings.ae_title, timedelta(minutes=settings.within_minutes), tls, audience)


def _wire_tls(home: NodeHome, table: str) -> ssl.SSLContext:
    tls = client_tls(home.settings.wire, "wire")
    if tls is None:
        raise SettingsRefused(f"[{table}]: tls = true needs tls_certificate, tls_key and tls_trusted under [wire]")
    return tls


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


def _fhir(home: NodeHome, settings: FhirSettings, clock: Clock) -> FhirDelivery:
    results, system = home.path / "results", settings.patient_system
    if settings.folder:
        return FhirDelivery(home.database, results, clock, patient_system=system, to=home.path / settings.folder)
    _check_not_the_hub(home, urlsplit(settings.url).hostname or "", "fhir")
    client = _web_client(settings, "fhir", {"Content-Type": TYPE, "Accept": TYPE})

    def post(bundle: bytes) -> int:
        return client.post(settings.url, content=bundle).status_code

    return FhirDelivery(home.database, results, clock, patient_system=system, to=post)


def _web_client(settings: FhirSettings | StowSettings, table: str, headers: Mapping[str, str]) -> httpx.Client:
    shown = dict(headers)

    def made() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=settings.trusted)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key, password=no_password)
        return context

    files = [file for file in (settings.certificate, settings.key, settings.trusted) if file is not None]
    try:
        context = RenewedContext(made, files)
        if settings.token_file is not None:
            shown["Authorization"] = f"Bearer {settings.token_file.read_text().strip()}"
    except (OSError, ValueError):
        raise SettingsRefused(
            f"[report.{table}]: trusted, certificate, key or token_file can't be used; check that they can be read"
        ) from None
    # Proxies that the environment names are no part of the settings; a redirect may lead anywhere.
    return httpx.Client(verify=context, headers=shown, timeout=SECONDS, trust_env=False, follow_redirects=False)


def _hl7(home: NodeHome, settings: Hl7Settings, clock: Clock) -> Hl7Delivery:
    _check_not_the_hub(home, settings.host, "hl7")
    tls: ssl.SSLContext | None = None
    if settings.trusted and settings.certificate and settings.key:
        try:
            tls = TlsSettings(settings.certificate, settings.key, settings.trusted).client()
        except TlsRefused as refused:
            raise SettingsRefused(f"[report.hl7]: {refused.text}") from None
    return Hl7Delivery(
        home.database,
        home.path / "results",
        clock,
        listener=Listener(settings.host, settings.port, tls),
        addressing=Addressing(home.site, settings.application, settings.facility, settings.assigner),
    )


def _check_not_the_hub(home: NodeHome, host: str, table: str) -> None:
    """What is sent here names patients, and the hub must never be told of one."""
    if host.lower() == home.settings.hub.host.lower() and host not in ("127.0.0.1", "::1", "localhost"):
        raise SettingsRefused(f"[report.{table}] names the hub, which must hear of no patient; name the hospital's own")
