"""What happens to projects at this hospital. The decision is a person's, signed with the hospital's own key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from sqlalchemy.orm import Session

from wardround.contracts.approval_limits import ApprovalLimits, LimitTooLoose, check_tightens
from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Approval, Entry, Manifest, Refusal, Withdrawal, read_signed_entry
from wardround.contracts.project import Project
from wardround.foundation.errors import Conflict, NotAllowed
from wardround.ledger.commitment import commitment_root, draw_salts
from wardround.node import audit
from wardround.node.cohort.disclosure import Discloser
from wardround.node.projects import queries
from wardround.node.projects.standing import Standing, standing
from wardround.node.projects.states import USABLE, DecisionState, check_transition
from wardround.node.projects.tables import Decision, ManifestRow, ProjectRow
from wardround.node.record.entries import SiteEntries

BY_THE_HUB = "withdrawn-by-the-hub"
"""The reason of a withdrawal that follows from the project's end for everybody."""


@dataclass(frozen=True)
class FrozenCase:
    """A case of the cohort as the enclave knows it: pseudonym, study, and the enclave's own reference as text."""

    patient: str
    study: str
    case: str


def consider(session: Session, project: Project, *, at: datetime) -> None:
    """Put a project before the data controller. The same edition again changes nothing; another one asks anew, and what
    was decided on the former one stays on the record and covers nothing."""
    row = session.get(ProjectRow, project.id)
    digest = project.content_digest()
    if row is not None and row.digest == digest:
        return
    if row is None:
        row = ProjectRow(id=project.id)
        session.add(row)
    row.document = project.canonical()
    row.digest = digest
    row.arrived_at = at
    row.decision = row.closed_at = None
    audit.record(session, "program", "receive-project", project.id, digest)


def approve(
    session: Session,
    project_id: str,
    digest: str,
    cases: Sequence[FrozenCase],
    entries: SiteEntries,
    *,
    limits: ApprovalLimits = ApprovalLimits(),
    note: str = "",
    actor: str,
    at: datetime,
) -> int:
    """Approve an edition of a project and freeze its cohort as it is now; returns the number of people in it.

    Args:
        digest: of the edition that the person read.
        note: for the audit, beside the digest and the limits.

    Raises:
        Conflict: another edition came meanwhile.
        NotAllowed: it was decided already, it has expired, a limit is looser than what is asked, or the cohort is too
            small to train on.
    """
    found = _read_edition(session, project_id, digest, at)
    project = found.project
    if found.state is DecisionState.EXPIRED and found.decision is None:
        raise NotAllowed(
            f"project {project_id} ended on {project.ends:%Y-%m-%d}; nothing is left to approve", code="expired"
        )
    check_transition(project_id, found.state, DecisionState.APPROVED)
    try:
        check_tightens(project, limits)
    except LimitTooLoose as error:
        raise NotAllowed(f"{error}; a limit can only tighten", code="limit-too-loose") from None
    until = min(project.ends, limits.until or project.ends)
    if until < at.date():
        raise NotAllowed(f"an approval until {until:%Y-%m-%d} would be over already; name a later day")
    people = {case.patient for case in cases}
    if len(people) < 2:
        raise NotAllowed(
            f"the cohort of {project_id} has {len(people)} patients here; training needs one to learn from and one "
            "held out. Check the intake with `wardround node intake`, or refuse the project"
        )
    decision = _decide(
        session,
        found,
        entries,
        Approval(
            origin=entries.site,
            at=at,
            project=project_id,
            project_digest=digest,
            until=datetime.combine(until, time.max, tzinfo=UTC),
            limits=None if limits.empty else limits,
        ),
        actor=actor,
        at=at,
    )
    decision.limits = None if limits.empty else limits.canonical()
    studies = sorted({case.study for case in cases})
    salts = draw_salts(studies)
    by_study = {case.study: case for case in cases}
    for study in studies:
        case = by_study[study]
        session.add(
            ManifestRow(
                project=project_id,
                decision=decision.id,
                patient=case.patient,
                study=study,
                case=case.case,
                salt=salts[study],
            )
        )
    told = "; ".join([digest, *limits.in_words(), *([note] if note else [])])
    audit.record(session, actor, "approve-project", project_id, told)
    return len(people)


def refuse(
    session: Session, project_id: str, digest: str, reason: str, entries: SiteEntries, *, actor: str, at: datetime
) -> None:
    """Refuse an edition of a project. `reason` is a code that the researcher will see, as `not-lawful-here`.

    Raises:
        Conflict: another edition came meanwhile.
        NotAllowed: it was decided already, or is over.
    """
    found = _read_edition(session, project_id, digest, at)
    check_transition(project_id, found.state, DecisionState.REFUSED)
    entry = Refusal(origin=entries.site, at=at, project=project_id, project_digest=digest, reason=reason)
    decision = _decide(session, found, entries, entry, actor=actor, at=at)
    decision.reason = reason
    audit.record(session, actor, "refuse-project", project_id, reason)


def withdraw(
    session: Session, project_id: str, reason: str, entries: SiteEntries, *, actor: str, at: datetime
) -> Decision:
    """Take an approval back: nothing here is used for the project from this transaction on.

    `reason` is a code that everybody may see. The ledger has it once the approval's own place there is known.

    Raises:
        NotAllowed: nothing was approved, or it is over already.
    """
    found = standing(session, project_id, at.date())
    decision = found.decision
    if decision is None or not decision.approved:
        raise NotAllowed(f"nothing was approved of {project_id} here, so there is nothing to take back; refuse it")
    check_transition(project_id, found.state, DecisionState.WITHDRAWN)
    decision.withdrawn_by, decision.withdrawn_at, decision.withdrawn_reason = actor, at, reason
    decision.told_at = None
    if decision.entry_index is not None:
        sign_withdrawal(decision, entries)
    audit.record(session, actor, "withdraw-project", project_id, reason)
    return decision


def close(session: Session, project_id: str, entries: SiteEntries, *, at: datetime) -> None:
    """The hub says that the project is over for everybody: it can't be approved any more, and an approval is taken
    back. What the hub says here can only stop use; it opens nothing, and a project that isn't known is none."""
    row = session.get(ProjectRow, project_id)
    if row is None or row.closed_at is not None:
        return
    found = standing(session, project_id, at.date())
    if found.decision is not None and found.state in USABLE:
        withdraw(session, project_id, BY_THE_HUB, entries, actor="hub", at=at)
    row.closed_at = at
    audit.record(session, "hub", "close-project", project_id, row.digest)


def sign_withdrawal(decision: Decision, entries: SiteEntries) -> bytes:
    """The ledger entry of a withdrawal, made once the approval has its index, and kept with the decision."""
    if decision.withdrawal is None:
        if decision.entry_index is None or decision.withdrawn_at is None or decision.withdrawn_reason is None:
            raise NotAllowed(f"the approval of {decision.project} isn't on the ledger yet")
        decision.withdrawal = entries.sign(
            Withdrawal(
                origin=entries.site,
                at=decision.withdrawn_at,
                project=decision.project,
                approval=decision.entry_index,
                reason=decision.withdrawn_reason,
            )
        )
    return decision.withdrawal


def sign_manifest(
    session: Session, decision: Decision, entries: SiteEntries, discloser: Discloser, *, at: datetime
) -> bytes:
    """The ledger entry of the frozen cohort, made once the approval has its index, and kept with the decision."""
    if decision.manifest is None:
        if decision.entry_index is None:
            raise NotAllowed(f"the approval of {decision.project} isn't on the ledger yet")
        studies = queries.manifest(session, decision.project)
        decision.manifest = entries.sign(
            Manifest(
                origin=entries.site,
                at=at,
                project=decision.project,
                approval=decision.entry_index,
                people=discloser.people(study.patient for study in studies),
                commitment=commitment_root({study.study: study.salt for study in studies}),
            )
        )
    return decision.manifest


def told_people(signed: bytes) -> Count:
    """How many people a signed manifest says it has: the one number that this node tells of a frozen cohort."""
    entry = read_signed_entry(signed).entry
    if not isinstance(entry, Manifest):
        raise TypeError(f"a {entry.kind} entry where a manifest should be")
    return entry.people


def _read_edition(session: Session, project_id: str, digest: str, at: datetime) -> Standing:
    found = standing(session, project_id, at.date())
    if found.row.digest != digest and found.row.digest.startswith(digest):
        raise Conflict(
            f"{project_id}: {digest!r} is only the beginning of an edition's digest; give all 64 digits of it"
        )
    if found.row.digest != digest:
        raise Conflict(
            f"{project_id}: the edition that was read ({digest[:12]}…) isn't the one that stands now "
            f"({found.row.digest[:12]}…); read it with `wardround node show {project_id}` and decide on that"
        )
    return found


def _decide(
    session: Session, found: Standing, entries: SiteEntries, entry: Entry, *, actor: str, at: datetime
) -> Decision:
    decision = Decision(
        project=found.row.id,
        project_digest=found.row.digest,
        document=found.row.document,
        approved=isinstance(entry, Approval),
        decided_by=actor,
        decided_at=at,
        entry=entries.sign(entry),
    )
    session.add(decision)
    session.flush()
    found.row.decision = decision.id
    return decision
