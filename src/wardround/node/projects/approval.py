"""The data controller's decision as one call, for the command and for the page."""

from __future__ import annotations

from wardround.contracts.approval_limits import ApprovalLimits
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.run_plan import Reads
from wardround.foundation.jobs import Job
from wardround.node.desk import Desk
from wardround.node.policy.verdict import check_policy
from wardround.node.projects import actions, queries
from wardround.node.projects.actions import FrozenCase
from wardround.node.projects.person import PersonRef, frozen_as
from wardround.node.projects.standing import Standing, standing

STEPS = 3
"""Of an approval: its cohort is looked for, frozen and kept."""


def frozen_cases(desk: Desk, project: str) -> list[FrozenCase]:
    """The cohort of a project as it is here now: one case per study, or one per person where its plan reads records
    alone.

    Raises:
        NotAllowed: its question can't be answered here, or not now; see `Desk.cases` and `Census.people`.
    """
    with desk.home.database.reading() as session:
        asked = queries.project_of(queries.row_of(session, project))
    return cohort_now(desk, asked.cohort, asked.plan.reads)


def cohort_now(desk: Desk, question: CohortQuestion, reads: Reads) -> list[FrozenCase]:
    """As `frozen_cases`, of a question and of what is read of the people whom it finds."""
    if reads == "records":
        return [
            FrozenCase(pseudonym, frozen_as(pseudonym), PersonRef(pseudonym=pseudonym).model_dump_json())
            for pseudonym in sorted(desk.census.people(question))
        ]
    found: dict[str, FrozenCase] = {}
    for ref in desk.cases(question):
        found.setdefault(ref.study, FrozenCase(ref.pseudonym, ref.study, ref.model_dump_json()))
    return list(found.values())


def people_now(desk: Desk, project: str) -> int:
    """How many people the project's cohort has here now: exact, for this hospital's own people."""
    return len({case.patient for case in frozen_cases(desk, project)})


def standing_now(desk: Desk, project: str) -> Standing:
    """How a project stands here now. Raises `NotFound`."""
    with desk.home.database.reading() as session:
        return standing(session, project, desk.clock().date())


def approve(
    desk: Desk,
    project: str,
    digest: str,
    *,
    limits: ApprovalLimits = ApprovalLimits(),
    actor: str,
    job: Job[int] | None = None,
) -> int:
    """Approve an edition of a project and freeze its cohort; returns the number of people in it. The running node tells
    the hub.

    Raises:
        GivenUp: `job` was given up; nothing is decided.
        NotFound, NotAllowed, Conflict: see `actions.approve`.
        PolicyForbids, PolicyUnusable: this hospital's policy doesn't allow it, or can't be read.
    """
    policy, at = desk.home.policy.current(), desk.clock()
    job = job or Job(at)
    job.tell("its cohort is looked for", 0, STEPS)
    cases = frozen_cases(desk, project)
    job.tell(f"{len(cases):,} of its cohort are frozen", 1, STEPS)
    with desk.home.database.writing() as session:
        note = f"policy {policy.digest()}"
        people = actions.approve(
            session, project, digest, cases, desk.entries, limits=limits, note=note, actor=actor, at=at
        )
        asked = queries.project_of(queries.row_of(session, project))
        check_policy(policy, asked, approved_on=at.date(), limits=limits, people=people)
        job.tell("it is kept", 2, STEPS)
        job.settle()
    return people


def refuse(desk: Desk, project: str, digest: str, reason: str, *, actor: str) -> None:
    """Refuse an edition of a project with a reason code. The running node tells the hub.

    Raises:
        NotFound, NotAllowed, Conflict: see `actions.refuse`.
    """
    with desk.home.database.writing() as session:
        actions.refuse(session, project, digest, reason, desk.entries, actor=actor, at=desk.clock())


def withdraw(desk: Desk, project: str, reason: str, *, actor: str) -> None:
    """Take an approval back; nothing is used from here on. The running node tells the hub.

    Raises:
        NotFound, NotAllowed: see `actions.withdraw`.
    """
    with desk.home.database.writing() as session:
        actions.withdraw(session, project, reason, desk.entries, actor=actor, at=desk.clock())
