"""The node's Storage SCP, and those that it calls back, as `node.toml` says."""

from __future__ import annotations

import ssl

from wardround.dicom.network import Limits, Peer, TlsRefused, TlsSettings
from wardround.foundation.settings import SettingsRefused
from wardround.node.receive.commitment import ReportTo
from wardround.node.receive.terms import WireTerms
from wardround.node.settings import DicomTls, NodeSettings


def wire_terms(settings: NodeSettings) -> WireTerms:
    """On what terms the node takes objects in, under both of its AE titles."""
    dicom, wire = settings.dicom, settings.wire
    return WireTerms(
        (dicom.ae_title, dicom.clinic_ae_title),
        host=dicom.host,
        port=dicom.port,
        calling_ae_titles=wire.senders or None,
        associations=wire.associations,
        extra_sop_classes=wire.extra_sop_classes,
        accept_unknown=wire.accept_unknown,
        tls=tls_of(wire, required=wire.tls_required),
        limits=Limits(
            artim_seconds=wire.artim_seconds, stall_seconds=wire.stall_seconds, idle_seconds=wire.idle_seconds
        ),
    )


def requestors(settings: NodeSettings) -> dict[str, ReportTo]:
    """Where the peers of `[[dicom.peers]]` listen for reports about storage commitment, by AE title.

    Raises:
        SettingsRefused: one wants TLS, and `[wire]` has no files for it, or they can't be used.
    """
    found = {}
    for peer in settings.dicom.peers:
        context: ssl.SSLContext | None = None
        if peer.tls:
            context = client_tls(settings.wire, "wire")
            if context is None:
                raise SettingsRefused(
                    "[[dicom.peers]]: tls = true needs tls_certificate, tls_key and tls_trusted under [wire]"
                )
        title = peer.ae_title.strip()
        found[title] = ReportTo(Peer(peer.host, peer.port, title), context)
    return found


def client_tls(files: DicomTls, table: str) -> ssl.SSLContext | None:
    """What this node calls others with; None where the settings' `table` names no files.

    Raises:
        SettingsRefused: they can't be used.
    """
    tls = tls_of(files)
    try:
        return None if tls is None else tls.client()
    except TlsRefused as refused:
        raise SettingsRefused(f"[{table}]: {refused.text}") from None


def tls_of(files: DicomTls, *, required: bool = True) -> TlsSettings | None:
    """The files that the settings name. `required`: whoever calls has to show a certificate."""
    if files.tls_certificate and files.tls_key and files.tls_trusted:
        return TlsSettings(files.tls_certificate, files.tls_key, files.tls_trusted, required=required)
    return None
