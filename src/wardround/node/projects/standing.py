"""How a project stands at this hospital: what is asked, what was decided, what holds, and the rule for all work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.approval_limits import ApprovalLimits, Terms, terms_of
from wardround.contracts.project import Project
from wardround.foundation.errors import NotAllowed
from wardround.node.projects.queries import decision_of, project_of, row_of
from wardround.node.projects.states import USABLE, DecisionState, Facts, state_now
from wardround.node.projects.tables import Decision, ProjectRow, ProjectRun


@dataclass(frozen=True, slots=True)
class Standing:
    """One project on one day. `terms` are what holds where it is approved, and what is asked where it isn't."""

    row: ProjectRow
    project: Project
    decision: Decision | None
    limits: ApprovalLimits
    terms: Terms
    state: DecisionState
    runs_begun: int

    @property
    def approval(self) -> Decision:
        """The decision of a project that may be worked for."""
        if self.decision is None:
            raise NotAllowed(f"no approval of {self.row.id} by this hospital", code="not-approved")
        return self.decision


def standing(session: Session, project: str, today: date) -> Standing:
    """How a project stands. Raises `NotFound`."""
    return standing_of(session, row_of(session, project), today)


def standing_of(session: Session, row: ProjectRow, today: date) -> Standing:
    asked = project_of(row)
    decision = decision_of(session, row)
    limits = limits_of(decision)
    terms = terms_of(asked, limits)
    begun = still_open = 0
    if decision is not None:
        count = select(func.count()).select_from(ProjectRun).where(ProjectRun.decision == decision.id)
        begun = session.scalar(count) or 0
        still_open = session.scalar(count.where(ProjectRun.ended_at.is_(None))) or 0
    facts = Facts(
        approved=None if decision is None else decision.approved,
        withdrawn=row.closed_at is not None or (decision is not None and decision.withdrawn_at is not None),
        until=terms.until,
        runs=terms.runs,
        begun=begun,
        open=still_open,
    )
    return Standing(row, asked, decision, limits, terms, state_now(facts, today), begun)


def limits_of(decision: Decision | None) -> ApprovalLimits:
    if decision is None or decision.limits is None:
        return ApprovalLimits()
    return ApprovalLimits.model_validate_json(decision.limits)


def check_may_work(session: Session, project: str, digest: str, *, today: date) -> Standing:
    """May this node work for that edition of a project? The one rule, whatever the hub says.

    Raises:
        NotAllowed: this hospital's data controller hasn't approved exactly this edition (`not-approved`), has taken
            it back (`withdrawn`), its last day is past (`expired`), or its manifest isn't on the ledger
            (`no-manifest`).
    """
    row = session.get(ProjectRow, project)
    found = None if row is None else standing_of(session, row, today)
    if found is None or found.row.digest != digest or found.decision is None or not found.decision.approved:
        raise NotAllowed(
            f"no approval of the edition {digest[:12]}… of {project} by this hospital; `wardround node show {project}` "
            "shows the one that stands, and how to decide on it",
            code="not-approved",
        )
    if found.state is DecisionState.WITHDRAWN:
        raise NotAllowed(
            f"the approval of {project} was taken back; only another edition can be approved", code="withdrawn"
        )
    if found.state not in USABLE:
        raise NotAllowed(
            f"the approval of {project} ended with {found.terms.until:%Y-%m-%d}; only another edition can be approved, "
            "which its researcher submits with a later last day",
            code="expired",
        )
    if found.decision.manifest_index is None:
        raise NotAllowed(f"the manifest of {project} isn't on the ledger yet", code="no-manifest")
    return found


def check_may_run(session: Session, found: Standing, run: str) -> None:
    """May that run use data under the approval?

    Raises:
        NotAllowed: `runs-used-up`, other runs have taken all that were approved.
    """
    if not has_begun(session, found, run) and found.runs_begun >= found.terms.runs:
        raise NotAllowed(
            f"{found.row.id}: {found.runs_begun} runs have used this hospital's data, and no more were approved",
            code="runs-used-up",
        )


def has_begun(session: Session, found: Standing, run: str) -> bool:
    """Whether that run is one of those that used data under the approval."""
    known = select(ProjectRun.id).where(ProjectRun.decision == found.approval.id, ProjectRun.run == run)
    return session.scalar(known) is not None
