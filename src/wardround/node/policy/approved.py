"""What this hospital approved, with its policy laid over it: what all work for a project goes by."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from wardround.node.policy.rules import Policy
from wardround.node.policy.verdict import PolicyForbids, check_policy
from wardround.node.projects.standing import Standing


def under(policy: Policy, found: Standing, *, on: date) -> Standing:
    """An approved project with the policy's bounds in its terms; nothing is done for it by any others.

    Raises:
        PolicyForbids: the policy doesn't allow it (any more); `past-longest-days` where it has lasted too long.
    """
    approved_on = found.approval.decided_at.date()
    held = check_policy(policy, found.project, approved_on=approved_on, limits=found.limits)
    if held.until < on:
        raise PolicyForbids(
            f"policy.toml, projects.longest_days = {policy.projects.longest_days}: {found.row.id} was approved on "
            f"{approved_on:%Y-%m-%d}",
            code="past-longest-days",
        )
    return replace(found, terms=held)
