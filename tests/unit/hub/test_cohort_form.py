"""What a form's fields stand for is the very tree that a file or the builder has; what they can't say stays JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.contracts.cohort_builder import aged, before, codes, concepts, condition, drug, imaging, measurement
from wardround.contracts.cohort_builder import patients as people
from wardround.contracts.cohort_query import CohortQuestion
from wardround.foundation.errors import NotAllowed
from wardround.hub.pages.cohort_form import NAMES, fields_of, question_of

WHOLE = (
    people.with_(condition("SNOMED", "254935002"))
    .without(drug(concepts(4129902, 7)))
    .with_(measurement("LOINC", "2160-0", low=120, unit="umol/L"))
    .with_(imaging(modality="MR", body_part="BRAIN", max_thickness=2.5, has_label=True))
    .aged(18, 80)
    .of_sex("F", "O")
    .question()
)
TYPED = {
    "has-1": "yes",
    "kind-1": "condition",
    "vocabulary-1": "SNOMED",
    "codes-1": "254935002",
    "has-2": "no",
    "kind-2": "drug",
    "codes-2": "4129902, 7",
    "has-3": "yes",
    "kind-3": "measurement",
    "vocabulary-3": "LOINC",
    "codes-3": "2160-0",
    "low-3": "120",
    "unit-3": "umol/L",
    "images": "yes",
    "modality": "MR",
    "body_part": "BRAIN",
    "thickest": "2.5",
    "label": "yes",
    "youngest": "18",
    "oldest": "80",
    "sex-F": "yes",
    "sex-O": "yes",
}


def test_fields_stand_for_the_tree_that_the_builder_makes() -> None:
    assert question_of(dict.fromkeys(NAMES, "") | TYPED).content_digest() == WHOLE.content_digest()
    assert question_of({}) == CohortQuestion()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "images": st.just("yes"),
            "modality": st.sampled_from(["MR", "CT"]),
            "thickest": st.floats(0, 1000).map(lambda value: f"{value:g}"),
            "label": st.sampled_from(["yes", "no"]),
            "youngest": st.integers(0, 60).map(str),
            "oldest": st.integers(60, 130).map(str),
            "sex-F": st.just("yes"),
            "has-1": st.sampled_from(["yes", "no"]),
            "kind-1": st.just("measurement"),
            "codes-1": st.lists(st.integers(1, 10**6), min_size=1, max_size=3).map(
                lambda found: ",".join(map(str, found))
            ),
            "kind-2": st.just("procedure"),
            "vocabulary-2": st.sampled_from(["SNOMED", "ICD10PCS"]),
            "codes-2": st.sampled_from(["A1", "A1, B2"]),
        },
    )
)
def test_what_was_typed_is_shown_again_and_means_the_same(typed: dict[str, str]) -> None:
    if "vocabulary-2" in typed and "codes-2" not in typed:
        return
    if "codes-2" in typed:
        typed = {"kind-2": "procedure", "vocabulary-2": "SNOMED"} | typed
    if "codes-1" in typed:
        typed = {"kind-1": "measurement"} | typed
    question = question_of(typed)
    shown = fields_of(question)
    assert not shown["question"]
    assert question_of(shown) == question


@pytest.mark.parametrize(
    "question",
    [
        people.with_(before(imaging(modality="CT"), drug("RxNorm", "1"), at_most=7)).question(),
        people.since_first(condition("SNOMED", "1")).question(),
        people.with_any(imaging(modality="CT"), imaging(modality="MR")).question(),
        people.with_(imaging(modality="CT"), imaging(modality="MR")).question(),
        people.with_(condition(codes("SNOMED", "1", descendants=False))).question(),
        people.with_(aged(18, at=condition("SNOMED", "1"))).question(),
        people.with_(measurement(concepts(1), low=1.23456789, unit="1")).question(),
        people.with_(*(condition("SNOMED", str(each)) for each in range(9))).question(),
    ],
)
def test_what_no_field_can_say_is_kept_as_it_is(question: CohortQuestion) -> None:
    shown = fields_of(question)
    assert {name for name, value in shown.items() if value} == {"question"}
    assert question_of(shown) == question


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"modality": "mr scan"}, "modality"),
        ({"youngest": "old"}, "no age in whole years"),
        ({"youngest": "80", "oldest": "18"}, "swap them"),
        ({"vocabulary-1": "SNOMED"}, "names no code"),
        ({"kind-1": "condition", "codes-1": "C71"}, "name the vocabulary"),
        ({"kind-1": "condition", "vocabulary-1": "SNOMED", "codes-1": "1", "low-1": "3"}, "only a measurement"),
        ({"kind-1": "verdict", "vocabulary-1": "SNOMED", "codes-1": "1"}, "kind"),
        ({"thickest": "thin"}, "is no number"),
        ({"question": "{"}, "isn't JSON"),
        ({"question": json.dumps({"where": {"kind": "imaging", "since": "2020"}})}, "calendar date"),
        ({"question": "{}", "modality": "MR"}, "empty one of the two"),
    ],
)
def test_what_is_no_question_is_refused_with_the_place(typed: dict[str, str], says: str) -> None:
    with pytest.raises(NotAllowed, match="cohort: ") as refusal:
        question_of(typed)
    assert says in str(refusal.value)
