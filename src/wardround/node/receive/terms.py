"""On what terms the node takes objects in: whatever a receiver needs to know, in this process or in another."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wardround.dicom.network_association import Seats
from wardround.dicom.network_entrance import Entrance
from wardround.dicom.network_limits import Limits
from wardround.dicom.network_messages import Commitments, Landing
from wardround.dicom.network_receive import StorageReceiver
from wardround.dicom.network_tls import TlsSettings
from wardround.node.receive.quay import PATIENCE, RESERVE_BYTES
from wardround.node.receive.route import Routes


@dataclass(frozen=True, slots=True)
class WireTerms:
    """Who may send, what, and for how long it is waited for; see `StorageReceiver`."""

    ae_titles: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    calling_ae_titles: tuple[str, ...] | None = None
    associations: int = 64
    extra_sop_classes: tuple[str, ...] = ()
    accept_unknown: bool = False
    tls: TlsSettings | None = None
    limits: Limits = field(default_factory=Limits)

    def receiver(
        self,
        landing: Landing,
        *,
        commitments: Commitments | None = None,
        entrance: Entrance | None = None,
        seats: Seats | None = None,
    ) -> StorageReceiver:
        """A receiver on these terms, not started yet.

        Raises:
            TlsRefused: the files of `tls` can't be used.
        """
        return StorageReceiver(
            self.ae_titles,
            landing=landing,
            host=self.host,
            port=self.port,
            calling_ae_titles=self.calling_ae_titles,
            associations=self.associations,
            extra_sop_classes=self.extra_sop_classes,
            accept_unknown=self.accept_unknown,
            commitments=commitments,
            tls=self.tls,
            limits=self.limits,
            entrance=entrance,
            seats=seats,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a receiver in another process needs. See `Reception` for what isn't explained.

    notes: the node wants to hear which study a key stands for. commits: it answers storage commitment.
    """

    wire: WireTerms
    quarantine: Path
    secret: bytes = field(repr=False)
    routes: Routes
    durable: bool = True
    reserve_bytes: int = RESERVE_BYTES
    patience: float = PATIENCE
    commits: bool = False
    notes: bool = False
