"""Which cases of a frozen cohort a project is served now, under that project's own pseudonyms.

Between the freezing and each use somebody may have opted out, and studies may have been purged: they are left out of
every step from then on, and counted here; the numbers stay in the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.node.optout.queries import excluded
from wardround.node.projects.tables import ManifestRow, ProjectRow


@dataclass(frozen=True, slots=True)
class Served:
    """Studies of one project's frozen cohort: those that are served, those left out, and why."""

    studies: int
    opted_out: int
    purged: int

    @property
    def left_out(self) -> int:
        return self.opted_out + self.purged

    def in_words(self) -> str:
        return f"{self.studies} studies served, {self.opted_out} left out for opt-outs, {self.purged} purged since"


@dataclass(frozen=True, slots=True)
class ServedCase:
    """A case as the learning process gets it: `name` is the project's own pseudonym of the patient, and all that the
    project's package, its files and what leaves may see; `case` is the enclave's reference, by which it is read."""

    name: str
    case: str


def served_cases(session: Session, project: str, keys: PseudonymKeys) -> tuple[tuple[ServedCase, ...], Served]:
    """The cases to work with now, in the order of the project's own pseudonyms, and what is left out."""
    names = keys.for_project(project)
    rows = session.execute(
        select(ManifestRow.patient, ManifestRow.study, ManifestRow.case)
        .join(ProjectRow, ProjectRow.decision == ManifestRow.decision)
        .where(
            ProjectRow.id == project,
            ManifestRow.removed_at.is_(None),
            ManifestRow.patient.not_in(excluded()),
        )
    ).all()
    named = sorted((names.patient(patient), names.uid(study), case) for patient, study, case in rows)
    return tuple(ServedCase(name, case) for name, _, case in named), served_by_project(session).get(
        project, Served(0, 0, 0)
    )


def served_by_project(session: Session) -> Mapping[str, Served]:
    """For each project with a frozen cohort, how much of the one that was approved last is left."""

    def count(*conditions: object) -> dict[str, int]:
        query = (
            select(ManifestRow.project, func.count())
            .join(ProjectRow, ProjectRow.decision == ManifestRow.decision)
            .where(*conditions)  # type: ignore[arg-type] # conditions of SQLAlchemy
            .group_by(ManifestRow.project)
        )
        return dict(session.execute(query).all())

    purged = count(ManifestRow.removed_at.is_not(None))
    opted_out = count(ManifestRow.removed_at.is_(None), ManifestRow.patient.in_(excluded()))
    frozen = count()
    return {
        project: Served(
            studies=number - purged.get(project, 0) - opted_out.get(project, 0),
            opted_out=opted_out.get(project, 0),
            purged=purged.get(project, 0),
        )
        for project, number in sorted(frozen.items())
    }
