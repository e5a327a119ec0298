"""What a project states is whole, one-minded and in closed codes; limits can only tighten it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.hub.runs.run_lab import project

from wardround.contracts.approval_limits import ApprovalLimits, LimitTooLoose, MessageLimit, check_tightens, terms_of
from wardround.contracts.data_use import FORMS, LABELS, PERMISSIONS, DataUse
from wardround.contracts.lawful_basis import ARTICLE_6, ARTICLE_9, LawfulBasis
from wardround.contracts.outbound import Outbound
from wardround.contracts.privacy import Privacy
from wardround.contracts.project import PER, Leaving, Project
from wardround.contracts.project_words import in_words
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.standard_project import usual_leaves

ASKED = project()


def edited(**changes: object) -> Project:
    return Project.model_validate({**ASKED.model_dump(), **changes})


@pytest.mark.parametrize("code", sorted(LABELS))
def test_every_term_of_the_ontology_says_what_it_needs(code: Any) -> None:
    examples = {
        "DUO:0000007": ("MONDO:0021042", "glioma"),
        "DUO:0000012": ("paediatric-research", "Paediatric Research"),
        "DUO:0000022": ("GB,IE", "gb"),
        "DUO:0000024": ("2028-01-31", "2028-02-31"),
        "DUO:0000025": ("12", "a year"),
        "DUO:0000028": ("st-elsewhere", "St Elsewhere"),
    }
    assert examples.keys() == FORMS.keys()
    good, bad = examples.get(code, (None, "something"))
    assert code in DataUse(code=code, detail=good).in_words()
    for detail in {bad, "something else", None if good else "x"}:
        with pytest.raises(ValidationError):
            DataUse(code=code, detail=detail)


def test_a_project_names_one_permission_and_no_term_twice() -> None:
    modifier = DataUse(code="DUO:0000021")
    for permission in sorted(PERMISSIONS - {"DUO:0000007"}):
        assert edited(data_use=(DataUse(code=permission), modifier))
    wrong = [
        (),
        (modifier,),
        (DataUse(code="DUO:0000006"), DataUse(code="DUO:0000042")),
        (DataUse(code="DUO:0000006"), modifier, modifier),
    ]
    for terms in wrong:
        with pytest.raises(ValidationError, match=r"exactly one data use permission|stands there twice"):
            edited(data_use=terms)


def test_a_basis_is_of_both_articles_and_says_which() -> None:
    for article in ARTICLE_6:
        for special in ARTICLE_9:
            one, other = LawfulBasis(article_6=article, article_9=special).in_words()
            assert f"Art. 6(1)({article[-1]})" in one and f"Art. 9(2)({special[-1]})" in other
    with pytest.raises(ValidationError):
        LawfulBasis.model_validate({"article_6": "9-2-j", "article_9": "9-2-j"})


@pytest.mark.parametrize(
    ("leaves", "why"),
    [
        ((), "has no evaluation-result"),
        (usual_leaves(ASKED.plan, 3)[:2], "has no evaluation-result"),
        (usual_leaves(ASKED.plan, 3) + usual_leaves(ASKED.plan, 3)[:1], "at most 3"),
    ],
)
def test_a_project_says_all_that_its_plan_lets_leave(leaves: tuple[Leaving, ...], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        edited(leaves=leaves)
    with pytest.raises(ValidationError, match="has local-model, which the plan has no use for"):
        project(compare_alone=False).model_validate(
            {**project(compare_alone=False).model_dump(), "leaves": usual_leaves(ASKED.plan, 3)}
        )


def test_what_rests_on_an_approval_is_on_the_closed_list() -> None:
    kinds = {model.model_fields["kind"].default for model in Outbound.__origin__.__args__}  # type: ignore[attr-defined]
    assert set(PER) <= kinds


def test_privacy_and_a_model_that_leaves_without_it_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="set `compare_alone` to false"):
        project(privacy={"clip_norm": 1.0})
    assert project(privacy={"clip_norm": 1.0}, compare_alone=False).plan.privacy == Privacy(clip_norm=1.0)


def test_nobody_stands_there_twice() -> None:
    person = {"name": "A. Nother", "part": "engineer"}
    with pytest.raises(ValidationError, match="name each person once"):
        edited(people=[person, {**person, "part": "sponsor"}])


def test_any_edit_makes_another_digest() -> None:
    """So that an approval covers nothing that its signer didn't read."""
    edits: list[dict[str, Any]] = [
        {"purpose": "Another purpose"},
        {"people": [{"name": "A. Nother", "part": "engineer"}]},
        {"lawful_basis": {"article_6": "6-1-a", "article_9": "9-2-j"}},
        {"data_use": [{"code": "DUO:0000042"}]},
        {"runs": 4},
        {"ends": ASKED.ends + timedelta(days=1)},
        {"leaves": [{**leaving.model_dump(), "times": 99} for leaving in ASKED.leaves]},
    ]
    digests = {ASKED.content_digest(), *(edited(**change).content_digest() for change in edits)}
    assert len(digests) == len(edits) + 1


def test_the_words_leave_nothing_out() -> None:
    told = "\n".join(in_words(ASKED))
    plan = ASKED.plan
    for part in (
        ASKED.purpose,
        ASKED.researcher,
        ASKED.cohort.in_words(),
        plan.package_digest,
        "rounds in each run at most 2, runs at most 3",
        "trained on this hospital's patients alone",
        "updates leave as they are",
        "DUO:0000006",
        "Art. 9(2)(j)",
        "2030-01-01",
        *(leaving.in_words() for leaving in ASKED.leaves),
    ):
        assert part in told


LIMITS = st.builds(
    ApprovalLimits,
    until=st.none() | st.dates(date(2026, 1, 1), ASKED.ends),
    rounds=st.none() | st.integers(1, ASKED.plan.rounds),
    runs=st.none() | st.integers(1, ASKED.runs),
    messages=st.lists(
        st.builds(
            MessageLimit,
            kind=st.sampled_from([leaving.kind for leaving in ASKED.leaves]),
            largest_bytes=st.none() | st.integers(1, 4096),
            times=st.none() | st.just(1),
        ),
        unique_by=lambda message: message.kind,
        max_size=3,
    ).map(tuple),
    no_local_model=st.booleans(),
    clip_norm=st.none() | st.floats(1e-3, 10),
)


@given(LIMITS, LIMITS)
def test_limits_only_ever_tighten_and_more_of_them_tighten_more(one: ApprovalLimits, two: ApprovalLimits) -> None:
    check_tightens(ASKED, one)
    whole, limited, both = terms_of(ASKED), terms_of(ASKED, one), terms_of(ASKED, one, two)
    for looser, tighter in ((whole, limited), (limited, both)):
        assert tighter.until <= looser.until
        assert tighter.rounds <= looser.rounds and tighter.runs <= looser.runs
        for leaving in tighter.leaves:
            asked = looser.leaving(leaving.kind)
            assert asked is not None
            assert leaving.largest_bytes <= asked.largest_bytes and leaving.times <= asked.times
        if looser.privacy is not None:
            assert tighter.privacy is not None
            assert tighter.privacy.clip_norm <= looser.privacy.clip_norm
            assert tighter.privacy.noise_multiplier >= looser.privacy.noise_multiplier
    assert terms_of(ASKED, two, one) == both
    assert both.privacy is None or both.leaving("local-model") is None, "it would leave without being cut"


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"until": date(2031, 1, 1)}, "is later than 2030-01-01"),
        ({"rounds": 3}, "3 rounds are more than the 2"),
        ({"runs": 4}, "4 runs are more than the 3"),
        ({"messages": ({"kind": "run-update", "largest_bytes": 10**9},)}, "is more than the project asks"),
        ({"messages": ({"kind": "evaluation-result", "times": 6},)}, "more often than the project asks"),
        ({"messages": ({"kind": "run-update", "times": 0},)}, "refuse the project instead"),
        ({"noise_multiplier": 1.0}, "give a clip norm too"),
    ],
)
def test_a_limit_that_loosens_is_named(limits: dict[str, Any], why: str) -> None:
    with pytest.raises(LimitTooLoose, match=why):
        check_tightens(ASKED, ApprovalLimits.model_validate(limits))


def test_limits_on_privacy_are_tighter_than_the_plans() -> None:
    private = project(privacy={"clip_norm": 1.0, "noise_multiplier": 0.5}, compare_alone=False)
    for limits in ({"clip_norm": 2.0}, {"noise_multiplier": 0.1}):
        with pytest.raises(LimitTooLoose):
            check_tightens(private, ApprovalLimits.model_validate(limits))
    with pytest.raises(LimitTooLoose, match="no local-model leave"):
        check_tightens(private, ApprovalLimits(messages=(MessageLimit(kind="local-model", times=0),)))
    for given_limits, wanted in (
        ({"noise_multiplier": 2.0}, Privacy(clip_norm=1.0, noise_multiplier=2.0)),
        ({"clip_norm": 0.5}, Privacy(clip_norm=0.5, noise_multiplier=0.5)),
    ):
        limits = ApprovalLimits.model_validate(given_limits)
        check_tightens(private, limits)
        assert terms_of(private, limits).privacy == wanted


def test_a_plan_takes_no_field_that_it_doesnt_know() -> None:
    with pytest.raises(ValidationError, match="extra"):
        RunPlan.model_validate({**ASKED.plan.model_dump(), "code": "print()"})
