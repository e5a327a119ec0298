"""A policy can only tighten: no rule that is added allows what was forbidden, and nothing here is looser than what is
asked, approved or written in the policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.policy.policy_strategies import (
    TODAY,
    documents,
    limits,
    policy_of,
    projects,
    restrictions,
)

from wardround.contracts.algorithm import Algorithm
from wardround.contracts.approval_limits import ApprovalLimits, Terms, terms_of
from wardround.contracts.privacy import Privacy
from wardround.contracts.project import Project
from wardround.contracts.robust import Robust
from wardround.node.policy.leaving import can_leave
from wardround.node.policy.rules import Policy, ProjectRules
from wardround.node.policy.terms import terms
from wardround.node.policy.verdict import (
    Outcome,
    PolicyForbids,
    check_hours,
    check_policy,
    verdict,
)

ASKED = project()
PEOPLE = st.none() | st.integers(0, 2000)
KINDS = ["run-update", "local-model", "evaluation-result", "cohort-answer", "object-request", "engine-traffic"]


def no_looser(found: Terms, than: Terms) -> None:
    """Whether all that `found` allows is allowed by `than`."""
    assert found.until <= than.until
    assert found.rounds <= than.rounds
    assert found.runs <= than.runs
    for leaving in found.leaves:
        other = than.leaving(leaving.kind)
        assert other is not None
        assert leaving.largest_bytes <= other.largest_bytes
        assert leaving.times <= other.times
    if than.privacy is not None:
        assert found.privacy is not None
        assert found.privacy.clip_norm <= than.privacy.clip_norm
        assert found.privacy.noise_multiplier >= than.privacy.noise_multiplier
    if than.patient_privacy is not None:
        assert found.patient_privacy is not None
        assert found.patient_privacy.epsilon <= than.patient_privacy.epsilon
        assert found.patient_privacy.delta <= than.patient_privacy.delta


@given(st.data(), documents(), projects(), limits(), PEOPLE)
def test_a_restriction_more_allows_nothing_that_wasnt(
    data: st.DataObject, document: dict[str, Any], asked: Project, limited: ApprovalLimits, people: int | None
) -> None:
    before = policy_of(document)
    after = policy_of(data.draw(restrictions(document)))
    seen: dict[str, Any] = {"approved_on": TODAY, "limits": limited, "people": people}
    assert not (verdict(after, asked, **seen).allowed and not verdict(before, asked, **seen).allowed)
    no_looser(
        terms(after, asked, limited, approved_on=TODAY),
        terms(before, asked, limited, approved_on=TODAY),
    )
    for kind in KINDS:
        for size in (0, 1, 10**6, 10**9):
            assert can_leave(before, kind, size) or not can_leave(after, kind, size)


@given(documents(), projects(), limits())
def test_terms_are_never_looser_than_project_approval_or_policy(
    document: dict[str, Any], asked: Project, limited: ApprovalLimits
) -> None:
    policy = policy_of(document)
    found = terms(policy, asked, limited, approved_on=TODAY)
    no_looser(found, terms_of(asked))
    no_looser(found, terms_of(asked, limited))
    rules = policy.projects
    assert found.until <= TODAY + timedelta(days=rules.longest_days)
    # No runs or rounds at all can't be said as a number of them: the verdict refuses.
    allowed = verdict(policy, asked, approved_on=TODAY, limits=limited).allowed
    assert found.runs <= rules.most_runs or not allowed
    assert found.rounds <= rules.most_rounds or not allowed
    for leaving in found.leaves:
        assert can_leave(policy, leaving.kind, leaving.largest_bytes) or not allowed
    if found.leaving("local-model") is not None:
        assert rules.compare_alone
    privacy = policy.privacy
    if privacy.largest_clip_norm is not None:
        assert found.privacy is not None and found.privacy.clip_norm <= privacy.largest_clip_norm
    if privacy.largest_epsilon is not None and allowed:
        assert found.patient_privacy is not None and found.patient_privacy.epsilon <= privacy.largest_epsilon
    if privacy.least_noise is not None and allowed:
        assert found.privacy is not None and found.privacy.noise_multiplier >= privacy.least_noise


@given(documents(), projects(), limits(), PEOPLE)
def test_what_is_checked_is_what_is_explained(
    document: dict[str, Any], asked: Project, limited: ApprovalLimits, people: int | None
) -> None:
    policy = policy_of(document)
    seen: dict[str, Any] = {"approved_on": TODAY, "limits": limited, "people": people}
    found = verdict(policy, asked, **seen)
    for finding in found.findings:
        assert bool(finding.instead) == (finding.outcome is not Outcome.ALLOWED)
    if found.allowed:
        check_policy(policy, asked, **seen)
        return
    with pytest.raises(PolicyForbids) as refused:
        check_policy(policy, asked, **seen)
    assert refused.value.code == found.refusals[0].code
    assert found.refusals[0].rule in str(refused.value)


def test_the_first_policy_changes_nothing_of_an_ordinary_project() -> None:
    found = verdict(Policy(), ASKED, approved_on=TODAY, people=20)
    assert found.allowed
    assert {finding.outcome for finding in found.findings} == {Outcome.ALLOWED}
    assert terms(Policy(), ASKED, ApprovalLimits(), approved_on=TODAY) == terms_of(ASKED)


REFUSED = [
    ({"projects": {"packages": ["chest-ct"]}}, "projects.packages", "package-not-allowed"),
    ({"projects": {"package_digests": ["a" * 64]}}, "projects.package_digests", "package-not-allowed"),
    ({"projects": {"algorithms": []}}, "projects.algorithms", "algorithm-not-allowed"),
    ({"projects": {"article_6": []}}, "projects.article_6", "lawful-basis-not-allowed"),
    ({"projects": {"article_9": []}}, "projects.article_9", "lawful-basis-not-allowed"),
    ({"projects": {"data_uses": []}}, "projects.data_uses", "data-use-not-allowed"),
    ({"projects": {"most_runs": 0}}, "projects.most_runs", "no-runs"),
    ({"projects": {"most_rounds": 0}}, "projects.most_rounds", "no-rounds"),
    ({"work": {"most_runs_at_once": 0}}, "work.most_runs_at_once", "no-runs"),
    ({"cohort": {"smallest_trained_on": 21}}, "cohort.smallest_trained_on", "cohort-too-small"),
    ({"leaving": {"kinds": ["engine-traffic"]}}, "leaving.kinds", "message-not-allowed"),
    ({"leaving": {"kinds": ["run-update"]}}, "leaving.kinds", "message-not-allowed"),
    ({"leaving": {"bytes_per_hour": 0}}, "leaving.kinds", "message-not-allowed"),
    ({"leaving": {"kind": {"run-update": {"messages_per_day": 0}}}}, "leaving.kinds", "message-not-allowed"),
    ({"privacy": {"least_noise": 0.5}}, "privacy.least_noise", "privacy-too-weak"),
    ({"privacy": {"steps": ["clip"]}}, "privacy.steps", "privacy-too-weak"),
    ({"privacy": {"largest_epsilon": 8.0}}, "privacy.largest_epsilon", "privacy-too-weak"),
    ({"privacy": {"largest_delta": 1e-6}}, "privacy.largest_delta", "privacy-too-weak"),
]


@pytest.mark.parametrize(("document", "rule", "code"), REFUSED, ids=[f"{rule}-{code}" for _, rule, code in REFUSED])
def test_each_rule_that_cant_be_tightened_refuses_and_says_which(
    document: dict[str, Any], rule: str, code: str
) -> None:
    found = verdict(policy_of(document), ASKED, approved_on=TODAY, people=20)
    assert {(finding.rule, finding.code) for finding in found.refusals} == {(rule, code)}
    with pytest.raises(PolicyForbids, match=rf"^glioma: policy.toml, {rule}: .+; .+"):
        check_policy(policy_of(document), ASKED, approved_on=TODAY, people=20)


@pytest.mark.parametrize(
    ("allowed", "fits"),
    [(None, True), (["fedavg"], False), (["trimmed-mean"], False), (["fedavg", "trimmed-mean"], True)],
)
def test_a_rule_that_puts_updates_together_is_an_algorithm_to_be_allowed(allowed: list[str] | None, fits: bool) -> None:
    asked = project(quorum=3, robust={"name": "trimmed-mean", "trimmed": 1})
    found = verdict(policy_of({"projects": {"algorithms": allowed}} if allowed else {}), asked, approved_on=TODAY)
    assert found.allowed is fits
    assert {(finding.rule, finding.code) for finding in found.refusals} == (
        set() if fits else {("projects.algorithms", "algorithm-not-allowed")}
    )


def test_every_algorithm_and_rule_of_the_contract_can_be_named() -> None:
    choices = [*get_args(get_args(Algorithm)[0]), *get_args(get_args(Robust)[0])]
    names = [get_args(choice.model_fields["name"].annotation)[0] for choice in choices]
    assert "fedavg" in names and "median" in names
    assert policy_of({"projects": {"algorithms": names}}).projects.algorithms == tuple(names)


def test_a_cohort_of_just_enough_people_is_allowed() -> None:
    policy = policy_of({"cohort": {"smallest_trained_on": 20}})
    assert verdict(policy, ASKED, approved_on=TODAY, people=20).allowed
    assert not verdict(policy, ASKED, approved_on=TODAY, people=19).allowed
    assert verdict(policy, ASKED, approved_on=TODAY, people=None).allowed, "nobody has counted yet"


def test_more_steps_than_allowed_refuse() -> None:
    asked = project(local_steps=101)
    assert verdict(policy_of({"projects": {"most_local_steps": 101}}), asked, approved_on=TODAY).allowed
    found = verdict(policy_of({"projects": {"most_local_steps": 100}}), asked, approved_on=TODAY)
    assert [finding.code for finding in found.refusals] == ["too-many-steps"]


TIGHTENED = [
    ({"projects": {"longest_days": 30}}, "projects.longest_days", "2026-12-23"),
    ({"projects": {"most_rounds": 1}}, "projects.most_rounds", "1 rounds of each run here"),
    ({"leaving": {"kind": {"run-update": {"largest_bytes": 5}}}}, "leaving.kind.run-update.largest_bytes", "5 bytes"),
    ({"privacy": {"largest_clip_norm": 1.5}}, "privacy.largest_clip_norm", "cut to a norm of 1.5"),
    ({"work": {"hours": "20:00-06:00", "time_zone": "Europe/London"}}, "work.hours", "20:00-06:00 (Europe/London)"),
]


@pytest.mark.parametrize(("document", "rule", "words"), TIGHTENED, ids=[rule for _, rule, _ in TIGHTENED])
def test_each_bound_tightens_and_says_to_what(document: dict[str, Any], rule: str, words: str) -> None:
    found = verdict(policy_of(document), ASKED, approved_on=TODAY, people=20)
    assert found.allowed
    [finding] = [one for one in found.findings if one.outcome is Outcome.TIGHTENED and one.rule == rule]
    assert words in finding.instead


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"projects": {"compare_alone": False}}, "projects.compare_alone"),
        ({"privacy": {"largest_clip_norm": 1.5}}, "privacy"),
    ],
)
def test_no_model_trained_alone_leaves_where_that_is_forbidden_or_updates_are_cut(
    document: dict[str, Any], rule: str
) -> None:
    policy, asked = policy_of(document), project(compare_alone=True)
    found = verdict(policy, asked, approved_on=TODAY)
    assert found.allowed
    assert rule in {finding.rule for finding in found.findings if finding.outcome is Outcome.TIGHTENED}
    assert terms(policy, asked, ApprovalLimits(), approved_on=TODAY).leaving("local-model") is None


def test_noise_is_added_to_what_a_project_cuts_already() -> None:
    policy = policy_of({"privacy": {"least_noise": 0.5}})
    asked = project(compare_alone=False, privacy=Privacy(clip_norm=2.0))
    assert terms(policy, asked, ApprovalLimits(), approved_on=TODAY).privacy == Privacy(
        clip_norm=2.0, noise_multiplier=0.5
    )
    assert verdict(policy, asked, approved_on=TODAY).allowed
    # And an approval that names a norm makes a project possible that asked for none.
    bare, named = project(compare_alone=False), ApprovalLimits(clip_norm=3.0)
    assert not verdict(policy, bare, approved_on=TODAY).allowed
    assert verdict(policy, bare, approved_on=TODAY, limits=named).allowed


def test_a_step_that_is_demanded_may_come_from_project_approval_or_policy() -> None:
    demands = {"privacy": {"steps": ["clip", "noise"]}}
    fits = project(compare_alone=False, privacy={"clip_norm": 1.0, "noise_multiplier": 0.1})
    half = project(compare_alone=False, privacy={"clip_norm": 1.0})
    assert verdict(policy_of(demands), fits, approved_on=TODAY).allowed
    assert not verdict(policy_of(demands), half, approved_on=TODAY).allowed
    limited = ApprovalLimits(noise_multiplier=0.1)
    assert verdict(policy_of(demands), half, approved_on=TODAY, limits=limited).allowed
    with_floor = policy_of({"privacy": {**demands["privacy"], "least_noise": 0.1}})
    assert verdict(with_floor, half, approved_on=TODAY).allowed


def test_a_budget_of_patient_privacy_is_the_smallest_of_project_approval_and_policy() -> None:
    asked = project(
        compare_alone=False, patient_privacy={"epsilon": 8, "delta": 1e-5, "noise_multiplier": 1, "sample_rate": 0.1}
    )
    policy = policy_of({"privacy": {"largest_epsilon": 4.0, "largest_delta": 1e-6}})
    found = verdict(policy, asked, approved_on=TODAY)
    assert found.allowed
    [finding] = [one for one in found.findings if one.rule == "privacy.largest_epsilon"]
    assert finding.outcome is Outcome.TIGHTENED
    assert finding.instead == "epsilon 4 at delta 1e-06 here"
    kept = terms(policy, asked, ApprovalLimits(epsilon=2.0), approved_on=TODAY).patient_privacy
    assert kept is not None and (kept.epsilon, kept.delta) == (2.0, 1e-6)
    assert terms(policy, asked, ApprovalLimits(), approved_on=TODAY).leaving("local-model") is None


def test_hours_hold_by_the_clock_of_their_zone() -> None:
    policy = policy_of({"work": {"hours": "20:00-06:00", "time_zone": "Europe/Paris"}})
    check_hours(policy, datetime(2026, 11, 23, 19, 0, tzinfo=UTC))
    with pytest.raises(PolicyForbids) as refused:
        check_hours(policy, datetime(2026, 11, 23, 18, 59, tzinfo=UTC))
    assert refused.value.code == "outside-hours"
    check_hours(Policy(), datetime(2026, 11, 23, 12, tzinfo=UTC))


def test_a_verdict_names_no_person_and_no_number_that_the_hub_may_hear() -> None:
    """What leaves is the code alone; people are in words that stay here."""
    found = verdict(policy_of({"cohort": {"smallest_trained_on": 50}}), ASKED, approved_on=TODAY, people=17)
    [refusal] = found.refusals
    assert "17" in refusal.words
    assert not any(letter.isdigit() for letter in refusal.code)


def test_a_packages_own_python_runs_where_its_digest_is_named_alone() -> None:
    plan = ASKED.plan.model_copy(update={"own_code": True})
    asked = ASKED.model_copy(update={"plan": plan})
    for named, allowed in (((), False), (("0" * 64,), False), ((plan.package_digest,), True)):
        found = verdict(Policy(projects=ProjectRules(own_code=named)), asked, approved_on=TODAY)
        assert found.allowed is allowed
        assert allowed or [one.code for one in found.refusals] == ["own-code-not-allowed"]
