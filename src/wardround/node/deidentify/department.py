"""What a node de-identifies with, put together from its home: for the running node and for commands."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import cached_property

from sqlalchemy import select

from wardround.dicom.confidentiality_profile import Option, Profile
from wardround.dicom.errors import ProfileInvalid
from wardround.dicom.pixels_device_file import read_device_rules
from wardround.dicom.pixels_rules import DeviceRule, shipped_rules
from wardround.dicom.pixels_screening import Screener
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.clock import Clock, now
from wardround.foundation.files import ASIDE, ObjectStore
from wardround.foundation.settings import SettingsRefused
from wardround.node.annotate.forgetting import label_files
from wardround.node.deidentify.crew import Processes, Recipe
from wardround.node.deidentify.erasure import Erasures, cut_off
from wardround.node.deidentify.intake import Deidentification
from wardround.node.deidentify.received import Places
from wardround.node.deidentify.secret import site_secret
from wardround.node.deidentify.vault import Vault
from wardround.node.enclave.tables import EnclavePatient
from wardround.node.home import NodeHome
from wardround.node.optout.actions import match_missing
from wardround.node.optout.queries import excluded
from wardround.node.optout.register import Register
from wardround.node.projects.queries import projects
from wardround.node.receive.commitment_store import FOLDER, CommitmentStore
from wardround.node.record.wiring import purges_at
from wardround.node.records.errors import RecordsBusy
from wardround.node.retrieve.wiring import sealing_at
from wardround.node.review.gate import Gate
from wardround.node.training.own import OwnArrays

log = logging.getLogger(__name__)


class Department:
    """The de-identification of one home, each part made when it is first used.

    Raises, from any part: `SecretLost`, `VaultLocked`.
    """

    def __init__(self, home: NodeHome, *, clock: Clock = now) -> None:
        self._home = home
        self._clock = clock

    @cached_property
    def secret(self) -> bytes:
        return site_secret(self._home.identity / "pseudonyms.key", self._home.database)

    @cached_property
    def profile(self) -> Profile:
        """How this node de-identifies.

        Raises:
            SettingsRefused: the profile of `node.toml` can't be used here.
        """
        chosen = self._home.settings.deidentification.profile
        is_file = bool(set("./") & set(chosen))
        try:
            return Profile.chosen(str(self._home.path / chosen) if is_file else chosen)
        except ProfileInvalid as error:
            raise SettingsRefused(f"node.toml: 'deidentification.profile': {error}") from None

    @cached_property
    def removes_faces(self) -> bool:
        return Option.CLEAN_VISUAL_FEATURES in self.profile.options

    @cached_property
    def screener(self) -> Screener:
        """How pixels are looked at here.

        Raises:
            SettingsRefused: the profile or the device rules of `node.toml` can't be used here.
        """
        return Screener(devices=self._device_rules(), deface=self.removes_faces)

    @cached_property
    def pseudonyms(self) -> PseudonymKeys:
        return PseudonymKeys(self.secret)

    @cached_property
    def vault(self) -> Vault:
        home = self._home
        vault = Vault(home.vault / "vault.db", home.identity / "vault.key", audit=home.database, clock=self._clock)
        vault.bind(self.secret)
        return vault

    @cached_property
    def register(self) -> Register:
        return Register(self.secret, self.vault)

    @cached_property
    def objects(self) -> ObjectStore:
        return ObjectStore(self._home.enclave / "objects")

    def deidentification(self) -> Deidentification:
        """The way into the enclave, with processes of its own once there is something to do."""
        home, settings = self._home, self._home.settings.deidentification
        screener = self.screener
        recipe = Recipe(
            profile=self.profile,
            secret=self.secret,
            quarantine=home.quarantine,
            aside=self.objects.root / ASIDE,
            screener=screener,
            home_issuer=settings.home_issuer,
        )
        workers = settings.workers or max(1, (os.cpu_count() or 1) // 2)
        return Deidentification(
            home.database,
            quarantine=home.quarantine,
            crew=Processes(recipe, workers, seconds=settings.seconds_per_object),
            vault=self.vault,
            objects=self.objects,
            register=self.register,
            gate=Gate(screener),
            whole_series=self.removes_faces,
            clock=self._clock,
        )

    def _device_rules(self) -> tuple[DeviceRule, ...]:
        """The hospital's own rules, then those shipped."""
        chosen = self._home.settings.deidentification.device_rules
        if not chosen:
            return shipped_rules()
        return (*read_device_rules(self._home.path / chosen), *shipped_rules())

    def mend(self) -> None:
        """Go on with erasures that were cut off, and know every patient of the enclave by its ids."""
        try:
            # A node that hasn't joined has no ledger to tell of an erasure, and none to finish.
            for number in self.erasures().finish() if cut_off(self._home.database) else ():
                log.warning("erasure %d, which had been cut off, is finished", number)
        except RecordsBusy:
            log.warning("an erasure waits for the health records, which a load has; the next start or erasure does it")
        match_missing(self._home.database, self.register, self.vault, actor="program")

    def projects(self) -> list[str]:
        """The projects whose pseudonyms may be met here."""
        with self._home.database.reading() as session:
            return [row.id for row in projects(session)]

    def erasures(self) -> Erasures:
        from wardround.node.records.wiring import leaving_at  # what keeps records is loaded where they are touched

        home = self._home
        results, volumes, labels = home.path / "results", home.enclave / "volumes", label_files(home.path)
        places = Places(home.quarantine, home.clinical, results, self.objects, volumes, labels)
        commitments = home.quarantine / FOLDER
        return Erasures(
            home.database,
            self.vault,
            places,
            purges_at(home, self.secret, clock=self._clock),
            self.secret,
            self._clock,
            pulls=sealing_at(home),
            commitments=CommitmentStore(home.database, commitments, home.identity / "commitments.key")
            if commitments.is_dir()
            else None,
            records=leaving_at(home, self.secret),
            own=OwnArrays(home.runs, self.pseudonyms),
        )

    def purge_opted_out(self, *, actor: str) -> Iterator[int]:
        """Erase from the research side everybody who is left out now; yields the number of each erasure."""
        with self._home.database.reading() as session:
            pseudonyms = sorted(session.scalars(excluded()))
            here = set(session.scalars(select(EnclavePatient.pseudonym)))
        erasures, reason = self.erasures(), "opted out"
        known = self.vault.pseudonyms()
        for pseudonym in pseudonyms:
            # Of whom nothing is here but the keys by which later records of theirs are known, and left out.
            if pseudonym not in known and pseudonym not in here:
                continue
            found = erasures.find([pseudonym], actor=actor, reason=reason, research_only=True)
            yield erasures.order(found, actor=actor, reason=reason)
            erasures.finish()

    def close(self) -> None:
        if "vault" in self.__dict__:
            self.vault.close()
