"""The node's Storage SCP as `node.toml` says."""

from __future__ import annotations

from wardround.dicom.network import Commitments, Landing, Limits, StorageReceiver, TlsSettings
from wardround.node.settings import NodeSettings


def storage_receiver(
    settings: NodeSettings, landing: Landing, *, commitments: Commitments | None = None
) -> StorageReceiver:
    """The receiver for both of the node's AE titles, not started yet.

    Raises:
        TlsRefused: the certificates or the key that `[wire]` names can't be used.
    """
    dicom, wire = settings.dicom, settings.wire
    tls = None
    if wire.tls_certificate and wire.tls_key and wire.tls_trusted:
        tls = TlsSettings(wire.tls_certificate, wire.tls_key, wire.tls_trusted, required=wire.tls_required)
    return StorageReceiver(
        [dicom.ae_title, dicom.clinic_ae_title],
        landing=landing,
        host=dicom.host,
        port=dicom.port,
        calling_ae_titles=wire.senders or None,
        associations=wire.associations,
        extra_sop_classes=wire.extra_sop_classes,
        accept_unknown=wire.accept_unknown,
        commitments=commitments,
        tls=tls,
        limits=Limits(
            artim_seconds=wire.artim_seconds, stall_seconds=wire.stall_seconds, idle_seconds=wire.idle_seconds
        ),
    )
