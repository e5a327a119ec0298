"""The frozen cohort as the learning process reads it: straight out of the enclave, by reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.learning.case import Case
from wardround.node.enclave.case import CaseRef, CaseUnusable
from wardround.node.enclave.enclave import Enclave
from wardround.node.projects.served import ServedCase

MIGRATIONS = "wardround.node.migrations"


@dataclass(frozen=True)
class EnclavePlace:
    """Where the enclave lies on this machine. `volumes_limit`: bytes that the volumes may take, or None."""

    database: str
    objects: Path
    volumes: Path
    volumes_limit: int | None = None

    def open(self) -> Enclave:
        return Enclave(
            Database(self.database, migrations=MIGRATIONS),
            ObjectStore(self.objects),
            volumes=self.volumes,
            volumes_limit=self.volumes_limit,
        )


@dataclass(frozen=True)
class Cohort:
    """The cases of a manifest that a project is served: each under the project's own pseudonym, with the enclave's
    reference, which is used to read it and given to nobody."""

    place: EnclavePlace
    cases: tuple[ServedCase, ...]

    def read(self) -> tuple[list[Case], int]:
        """The cases that can be learned from, one per patient and named as the project is served, and how many can't.

        Of several series of one patient the first with a label counts, so that no patient stands on both sides of
        the split. A case without a label, or whose voxels can't be had, is counted as unusable.
        """
        enclave = self.place.open()
        found: dict[str, Case] = {}
        unusable = 0
        try:
            for served in self.cases:
                if served.name in found:
                    continue
                try:
                    case = enclave.case(CaseRef.model_validate_json(served.case))
                except CaseUnusable:
                    unusable += 1
                    continue
                if case.label is None:
                    unusable += 1
                    continue
                found[served.name] = Case(served.name, case.image, case.label, case.spacing)
        finally:
            enclave.database.close()
        return list(found.values()), unusable
