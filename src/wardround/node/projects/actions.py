"""What happens to projects at this hospital. The decision is a person's, signed with the hospital's own key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Approval, Manifest, Refusal, read_signed_entry
from wardround.contracts.project import Project
from wardround.foundation.errors import NotAllowed
from wardround.ledger.commitment import commitment_root, draw_salts
from wardround.node import audit
from wardround.node.cohort.disclosure import Discloser
from wardround.node.projects import queries
from wardround.node.projects.states import DecisionState, check_transition
from wardround.node.projects.tables import ManifestRow, ProjectRow
from wardround.node.record.entries import SiteEntries


@dataclass(frozen=True)
class FrozenCase:
    """A case of the cohort as the enclave knows it: pseudonym, study, and the enclave's own reference as text."""

    patient: str
    study: str
    case: str


def consider(session: Session, project: Project, *, at: datetime) -> None:
    """Put a project before the data controller. The same edition again changes nothing; another one asks anew."""
    row = session.get(ProjectRow, project.id)
    digest = project.content_digest()
    if row is not None and row.digest == digest:
        return
    if row is None:
        row = ProjectRow(id=project.id)
        session.add(row)
    row.document = project.canonical()
    row.digest = digest
    row.state = DecisionState.WAITING
    row.arrived_at = at
    row.decided_by = row.decided_at = row.reason = row.approval = row.approval_index = None
    row.manifest = row.manifest_index = row.told_at = None
    audit.record(session, "program", "receive-project", project.id, digest)


def approve(
    session: Session,
    project_id: str,
    cases: Sequence[FrozenCase],
    entries: SiteEntries,
    *,
    actor: str,
    at: datetime,
) -> int:
    """Approve a project and freeze the cohort as it is now; returns the number of people in it.

    Raises:
        NotAllowed: it was decided already, it has expired, or the cohort is too small to train on.
    """
    row = queries.row_of(session, project_id)
    project = Project.model_validate_json(row.document)
    check_transition(project_id, DecisionState(row.state), DecisionState.APPROVED)
    if project.ends < at.date():
        raise NotAllowed(f"project {project_id} ended on {project.ends:%Y-%m-%d}; nothing is left to approve")
    people = {case.patient for case in cases}
    if len(people) < 2:
        raise NotAllowed(
            f"the cohort of {project_id} has {len(people)} patients here; training needs one to learn from and one "
            "held out. Check the intake with `wardround node intake`, or refuse the project"
        )
    for old in session.scalars(select(ManifestRow).where(ManifestRow.project == project_id)):
        session.delete(old)
    studies = sorted({case.study for case in cases})
    salts = draw_salts(studies)
    by_study = {case.study: case for case in cases}
    for study in studies:
        case = by_study[study]
        session.add(
            ManifestRow(
                project=project_id,
                project_digest=row.digest,
                patient=case.patient,
                study=study,
                case=case.case,
                salt=salts[study],
            )
        )
    row.state = DecisionState.APPROVED
    row.approval_index = row.manifest = row.manifest_index = None
    row.decided_by, row.decided_at = actor, at
    row.approval = entries.sign(
        Approval(
            origin=entries.site,
            at=at,
            project=project_id,
            project_digest=row.digest,
            until=datetime.combine(project.ends, time.max, tzinfo=UTC),
        )
    )
    audit.record(session, actor, "approve-project", project_id, row.digest)
    return len(people)


def refuse(session: Session, project_id: str, reason: str, entries: SiteEntries, *, actor: str, at: datetime) -> None:
    """Refuse a project. `reason` is a code that the researcher will see, for example `not-lawful-here`."""
    row = queries.row_of(session, project_id)
    check_transition(project_id, DecisionState(row.state), DecisionState.REFUSED)
    row.approval_index = None
    entry = Refusal(origin=entries.site, at=at, project=project_id, project_digest=row.digest, reason=reason)
    row.state = DecisionState.REFUSED
    row.decided_by, row.decided_at, row.reason = actor, at, reason
    row.approval = entries.sign(entry)
    audit.record(session, actor, "refuse-project", project_id, reason)


def sign_manifest(
    session: Session, row: ProjectRow, entries: SiteEntries, discloser: Discloser, *, at: datetime
) -> bytes:
    """The ledger entry of the frozen cohort, made once the approval has its index, and kept with the project."""
    if row.manifest is None:
        if row.approval_index is None:
            raise NotAllowed(f"the approval of {row.id} isn't on the ledger yet")
        studies = queries.manifest(session, row.id)
        row.manifest = entries.sign(
            Manifest(
                origin=entries.site,
                at=at,
                project=row.id,
                approval=row.approval_index,
                people=discloser.people(study.patient for study in studies),
                commitment=commitment_root({study.study: study.salt for study in studies}),
            )
        )
    return row.manifest


def told_people(signed: bytes) -> Count:
    """How many people a signed manifest says it has: the one number that this node tells of a frozen cohort."""
    entry = read_signed_entry(signed).entry
    if not isinstance(entry, Manifest):
        raise TypeError(f"a {entry.kind} entry where a manifest should be")
    return entry.people
