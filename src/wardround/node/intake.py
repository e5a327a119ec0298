"""The front door's loop: what was received becomes complete, de-identified, and part of the enclave."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path

from wardround.dicom.confidentiality import Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.network import StorageReceiver
from wardround.foundation.clock import Clock
from wardround.foundation.files import ObjectStore, write_whole
from wardround.node.deidentify.intake import Deidentification
from wardround.node.deidentify.vault import Vault
from wardround.node.home import NodeHome
from wardround.node.receive.completion import complete_studies
from wardround.node.receive.reception import Reception
from wardround.node.receive.route import Route, by_called_title


class Intake:
    """Receives for both paths, and de-identifies on one. `tick` is one step of the loop."""

    def __init__(self, home: NodeHome, clock: Clock) -> None:
        settings = home.settings.dicom
        secret = site_secret(home.identity / "pseudonyms.key")
        self._home = home
        self._clock = clock
        self._quiet = timedelta(seconds=settings.quiet_seconds)
        self.reception = Reception(
            home.database,
            quarantine=home.quarantine,
            clinical=home.clinical,
            secret=secret,
            route=by_called_title({settings.ae_title: Route.RESEARCH, settings.clinic_ae_title: Route.CLINIC}),
            clock=clock,
        )
        self._vault = Vault(home.vault / "vault.db", home.identity / "vault.key", audit=home.database, clock=clock)
        self._deidentification = Deidentification(
            home.database,
            quarantine=home.quarantine,
            deidentify=Deidentifier(Profile.research(), secret).deidentify,
            vault=self._vault,
            objects=ObjectStore(home.enclave / "objects"),
            clock=clock,
        )
        self._receiver = StorageReceiver(
            [settings.ae_title, settings.clinic_ae_title],
            self.reception.sink,
            host=settings.host,
            port=settings.port,
        )

    def start(self) -> None:
        """Tidy up after a crash, then listen. Raises `OSError` if the port is taken."""
        self.reception.recover()
        self._receiver.start()

    def tick(self) -> int:
        """Complete what is quiet, then de-identify all of it; returns how many instances were done."""
        complete_studies(self._home.database, quiet=self._quiet, now=self._clock())
        done = 0
        while True:
            progress = self._deidentification.tick()
            done += progress.done
            if progress.left == 0 or progress.done == 0:
                return done

    def stop(self) -> None:
        self._receiver.stop()
        self._vault.close()


def site_secret(path: Path) -> bytes:
    """The site's secret for pseudonyms, 32 random bytes; made on first use, and never leaves the node."""
    if not path.exists():
        write_whole(path, secrets.token_bytes(32), mode=0o600)
    return path.read_bytes()
