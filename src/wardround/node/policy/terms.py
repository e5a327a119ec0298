"""What is left of a project where a policy and a data controller's limits tighten it. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from typing import get_args

from wardround.contracts.approval_limits import ApprovalLimits, MessageLimit, Terms, terms_of
from wardround.contracts.project import LeavingKind, Project
from wardround.node.policy.kinds import ESSENTIAL
from wardround.node.policy.rules import Policy

LAST_DAY = date(9999, 12, 31)


def terms(policy: Policy, project: Project, limits: ApprovalLimits, *, approved_on: date) -> Terms:
    """What the project may do here: in each number the tightest of what it asks, its approval's limits and the policy.

    It says nothing of what the policy forbids altogether: that is `wardround.node.policy.verdict`.
    """
    return terms_of(project, limits, as_limits(policy, approved_on=approved_on))


def as_limits(policy: Policy, *, approved_on: date) -> ApprovalLimits:
    """A policy's bounds in the form of an approval's limits, for a project approved on that day.

    What is forbidden altogether (0 runs, no update may leave) has no place in that form, and is refused by the verdict.
    """
    projects, privacy = policy.projects, policy.privacy
    return ApprovalLimits(
        until=_days_on(approved_on, projects.longest_days),
        rounds=max(1, min(projects.most_rounds, 1000)),
        runs=max(1, min(projects.most_runs, 100)),
        messages=tuple(_message(policy, kind) for kind in get_args(LeavingKind)),
        no_local_model=not projects.compare_alone,
        clip_norm=privacy.largest_clip_norm,
        noise_multiplier=privacy.least_noise,
        epsilon=privacy.largest_epsilon,
        delta=privacy.largest_delta,
    )


def may_leave(policy: Policy, kind: str) -> bool:
    """Whether any message of that kind may leave at all."""
    if kind in ESSENTIAL:
        return True
    leaving = policy.leaving
    rates = (leaving, leaving.of(kind))
    shut = any(
        0 in (rate.messages_per_hour, rate.messages_per_day, rate.bytes_per_hour, rate.bytes_per_day) for rate in rates
    )
    return kind in leaving.kinds and not shut and leaving.of(kind).largest_bytes != 0


def _message(policy: Policy, kind: LeavingKind) -> MessageLimit:
    if not may_leave(policy, kind):
        return MessageLimit(kind=kind, times=0)
    return MessageLimit(kind=kind, largest_bytes=policy.leaving.of(kind).largest_bytes)


def _days_on(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return LAST_DAY
