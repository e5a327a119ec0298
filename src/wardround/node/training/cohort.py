"""The frozen cohort as the learning process reads it: straight out of the enclave and the records, by reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.learning.bundle import Bundle
from wardround.learning.case import Case, CaseRefused, Example, Labelled
from wardround.learning.fact import Target
from wardround.learning.table import TablePreparation, rows_of
from wardround.node.enclave.case import CaseRef, CaseUnusable
from wardround.node.enclave.enclave import Enclave
from wardround.node.projects.person import PersonRef
from wardround.node.projects.served import ServedCase
from wardround.node.records.store import Records
from wardround.node.training.facts import RecordsPlace, facts_of

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
    """The cases of a manifest that a project is served: each under the project's own pseudonym, with the reference by
    which it is read, which is given to nobody. `records`: where facts are read that the package names."""

    place: EnclavePlace
    cases: tuple[ServedCase, ...]
    records: RecordsPlace | None = None

    def read(self, bundle: Bundle) -> tuple[list[Example], int]:
        """What the package can learn from, one case per person and named as the project is served, and how many cases
        can't be used: without a label or target, or what can't be had.

        Of several series of one patient the first that can be used counts, so that no patient stands on both sides of
        the split.

        Raises:
            RecordsBusy: a load of health records is being applied.
        """
        if isinstance(bundle.preparation, TablePreparation) and bundle.target is not None:
            return self._rows(bundle.preparation, bundle.target)
        found, unusable = self._images(masked=bundle.target is None)
        if bundle.target is None:
            return list(found.values()), unusable
        return self._with_targets(found, unusable, bundle.target)

    def _images(self, *, masked: bool) -> tuple[dict[str, Case], int]:
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
                if masked and case.label is None:
                    unusable += 1
                    continue
                found[served.name] = Case(served.name, case.image, case.label, case.spacing)
        finally:
            enclave.database.close()
        return found, unusable

    def _with_targets(self, found: Mapping[str, Case], unusable: int, target: Target) -> tuple[list[Example], int]:
        names = {CaseRef.model_validate_json(one.case).pseudonym: one.name for one in self.cases if one.name in found}
        told = facts_of(self._open_records(), sorted(names), (), target)
        targets = {names[who]: one for who, one in zip(told.people, told.targets, strict=True) if one}
        made: list[Example] = [
            Labelled(replace(case, label=None), targets[name], target.rank(targets[name]))
            for name, case in found.items()
            if name in targets
        ]
        return made, unusable + len(found) - len(made)

    def _rows(self, preparation: TablePreparation, target: Target) -> tuple[list[Example], int]:
        names = {PersonRef.model_validate_json(one.case).pseudonym: one.name for one in self.cases}
        told = facts_of(self._open_records(), sorted(names), preparation.facts, target)
        rows = rows_of([names[who] for who in told.people], told.values, told.targets, target)
        usable = sorted((row for row in rows if row.labelled), key=lambda row: row.name)
        return list[Example](usable), len(names) - len(usable)

    def _open_records(self) -> Records:
        if self.records is None:
            raise CaseRefused("no-records", "the package names facts of health records, and there are none here")
        return self.records.open()
