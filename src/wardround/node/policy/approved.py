"""How a project stands at this hospital once its policy is laid over what was asked and approved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from wardround.contracts.approval_limits import Terms
from wardround.node.desk import Desk
from wardround.node.policy.rules import Policy
from wardround.node.policy.terms import terms
from wardround.node.policy.verdict import PolicyForbids, Verdict, check_policy, verdict
from wardround.node.projects.standing import Standing


def under(policy: Policy, found: Standing, *, on: date, people: int | None = None) -> Standing:
    """An approved project with the policy's bounds in its terms, to be worked for by nothing else.

    Args:
        people: how many people its cohort has left, where that is known.

    Raises:
        PolicyForbids: the policy doesn't allow it (any more); `past-longest-days` where it has lasted too long.
    """
    approved_on = found.approval.decided_at.date()
    check_policy(policy, found.project, approved_on=approved_on, limits=found.limits, people=people)
    held = terms(policy, found.project, found.limits, approved_on=approved_on)
    if held.until < on:
        raise PolicyForbids(
            f"policy.toml, projects.longest_days = {policy.projects.longest_days}: {found.row.id} was approved on "
            f"{approved_on:%Y-%m-%d}",
            code="past-longest-days",
        )
    return replace(found, terms=held)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy makes of one project now. `terms` are what would hold where it is allowed."""

    project: str
    state: str
    people: int
    verdict: Verdict
    terms: Terms
    works_now: bool


def explained(desk: Desk, project: str, policy: Policy) -> Explanation:
    """What `policy` makes of a project: with its approval's limits where it was approved, else as it is asked.

    Raises:
        NotFound: no such project was put before this hospital.
    """
    from wardround.node.projects.approval import people_now, standing_now

    at: datetime = desk.clock()
    found = standing_now(desk, project)
    decision = found.decision
    approved_on = decision.decided_at.date() if decision is not None and decision.approved else at.date()
    people = people_now(desk, project)
    return Explanation(
        project=project,
        state=found.state,
        people=people,
        verdict=verdict(policy, found.project, approved_on=approved_on, limits=found.limits, people=people),
        terms=terms(policy, found.project, found.limits, approved_on=approved_on),
        works_now=policy.work.when.open_at(at),
    )
