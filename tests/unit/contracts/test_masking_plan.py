"""A plan with masks can be kept, says what it does in words, and a hospital's policy may demand it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.hub.runs.run_lab import project

from wardround.contracts.approval_limits import terms_of
from wardround.contracts.project_words import in_words
from wardround.node.policy.rules import Policy
from wardround.node.policy.verdict import check_policy, verdict

PLAN: dict[str, Any] = {
    "privacy": {"clip_norm": 2.0},
    "masking": {"threshold": 3},
    "compare_alone": False,
    "quorum": 3,
}


def test_a_masked_plan_says_what_the_hub_sees_and_when_updates_are_masked() -> None:
    asked = project(**PLAN)
    told = "\n".join(in_words(asked))
    assert "the hub sees only the sum of at least 3 hospitals' updates" in told
    assert "Steps:        agreed-parameters, delta, clip, mask, size-check, log" in told
    assert terms_of(asked).masking == asked.plan.masking
    assert "mask" not in "\n".join(in_words(project()))


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"privacy": None, "compare_alone": True}, "give `privacy` with a `clip_norm`"),
        ({"robust": {"name": "median"}}, "take it out: `privacy.clip_norm` bounds each update at its hospital"),
        ({"robust": {"name": "norm-bound", "largest": 1}}, "take it out"),
        ({"quorum": 2}, "raise `quorum` to that, or lower its `threshold`"),
        ({"algorithm": "cyclic"}, "choose another algorithm"),
        ({"masking": {"threshold": 1}}, "greater than or equal to 2"),
    ],
)
def test_a_masked_plan_that_cant_be_kept_is_refused_with_its_mend(change: dict[str, Any], mend: str) -> None:
    with pytest.raises(ValidationError) as refused:
        project(**(PLAN | change))
    assert mend in str(refused.value)


def test_a_policy_may_demand_masks_and_has_to_let_their_messages_leave() -> None:
    demands = Policy.model_validate({"privacy": {"steps": ["mask"]}})
    today = date(2026, 11, 23)
    assert verdict(demands, project(**PLAN), approved_on=today).allowed
    assert check_policy(demands, project(**PLAN), approved_on=today).masking is not None
    (refusal,) = verdict(demands, project(), approved_on=today).refusals
    assert (refusal.rule, refusal.code) == ("privacy.steps", "privacy-too-weak")

    silent = Policy.model_validate({"leaving": {"kinds": ["engine-traffic", "run-update", "evaluation-result"]}})
    (refusal,) = verdict(silent, project(**PLAN), approved_on=today).refusals
    assert (refusal.rule, refusal.code) == ("leaving.kinds", "message-not-allowed")
    assert "masking-message" in refusal.words
    assert verdict(silent, project(compare_alone=False), approved_on=today).allowed
