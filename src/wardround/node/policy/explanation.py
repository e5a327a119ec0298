"""What the policy makes of a project, for people: with its approval's limits where it was approved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wardround.foundation.errors import NotAllowed
from wardround.node.desk import Desk
from wardround.node.optout.queries import excluded
from wardround.node.policy.rules import Policy
from wardround.node.policy.verdict import Verdict, verdict
from wardround.node.projects.approval import people_now, standing_now
from wardround.node.projects.queries import manifest
from wardround.node.projects.standing import Standing


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy makes of one project now. `people` are those of its cohort: as it was frozen and is still served
    or, before an approval, as it is now; None where that can't be told."""

    project: str
    state: str
    people: int | None
    verdict: Verdict
    works_now: bool


def explained(desk: Desk, project: str, policy: Policy, *, here: int | None = None, count: bool = True) -> Explanation:
    """What `policy` makes of a project: with its approval's limits where it was approved, else as it is asked.

    Args:
        here: how many people its cohort has here now, where the caller has counted them.
        count: whether they are counted where they aren't given.

    Raises:
        NotFound: no such project was put before this hospital.
    """
    at: datetime = desk.clock()
    found = standing_now(desk, project)
    decision = found.decision
    approved_on = decision.decided_at.date() if decision is not None and decision.approved else at.date()
    people = _people(desk, found, here, count)
    return Explanation(
        project=project,
        state=found.state,
        people=people,
        verdict=verdict(policy, found.project, approved_on=approved_on, limits=found.limits, people=people),
        works_now=policy.work.when.open_at(at),
    )


def _people(desk: Desk, found: Standing, here: int | None, count: bool) -> int | None:
    if found.decision is not None and found.decision.approved:
        with desk.home.database.reading() as session:
            frozen = {row.patient for row in manifest(session, found.row.id)}
            return len(frozen - set(session.scalars(excluded())))
    if here is not None or not count:
        return here
    try:
        return people_now(desk, found.row.id)
    except NotAllowed:
        return None
