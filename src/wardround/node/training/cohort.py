"""The frozen cohort as the learning process reads it: straight out of the enclave, by reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.learning.case import Case
from wardround.node.enclave.case import CaseRef, CaseUnusable
from wardround.node.enclave.enclave import Enclave

MIGRATIONS = "wardround.node.migrations"


@dataclass(frozen=True)
class EnclavePlace:
    """Where the enclave lies on this machine."""

    database: str
    objects: Path
    volumes: Path

    def open(self) -> Enclave:
        return Enclave(Database(self.database, migrations=MIGRATIONS), ObjectStore(self.objects), volumes=self.volumes)


@dataclass(frozen=True)
class Cohort:
    """The cases of a manifest, as the enclave's references in JSON."""

    place: EnclavePlace
    cases: tuple[str, ...]

    def read(self) -> tuple[list[Case], int]:
        """The cases that can be learned from, one per patient, and how many can't be.

        Of several series of one patient the first with a label counts, so that no patient stands on both sides of
        the split. A case without a label, or whose voxels can't be had, is counted as unusable.
        """
        enclave = self.place.open()
        found: dict[str, Case] = {}
        unusable = 0
        try:
            for text in self.cases:
                ref = CaseRef.model_validate_json(text)
                if ref.pseudonym in found:
                    continue
                try:
                    case = enclave.case(ref)
                except CaseUnusable:
                    unusable += 1
                    continue
                if case.label is None:
                    unusable += 1
                    continue
                found[ref.pseudonym] = Case(ref.pseudonym, case.image, case.label, case.spacing)
        finally:
            enclave.database.close()
        return list(found.values()), unusable
