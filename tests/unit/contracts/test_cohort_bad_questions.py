"""What can't be asked is refused with what is wrong, where in the tree, and the mend; in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wardround.contracts.cohort_builder import (
    after,
    aged,
    codes,
    condition,
    death,
    imaging,
    index,
    measurement,
    patients,
)
from wardround.contracts.cohort_query import DEEPEST, LARGEST, MOST_NODES, QuestionRefused, read_question
from wardround.contracts.cohort_units import known_units

MR = {"kind": "imaging", "modality": "MR"}
CREATININE = {"kind": "measurement", "codes": {"codes": [{"vocabulary": "LOINC", "code": "2160-0"}]}}


def where(*of: Any, kind: str = "all") -> str:
    return json.dumps({"where": {"kind": kind, "of": list(of)}})


def deep(levels: int) -> str:
    """Criteria in each other, none of them a `not` of a `not`."""
    tree: Any = MR
    for _ in range(levels):
        tree = {"kind": "all", "of": [tree]}
    return json.dumps({"where": tree})


BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    "a unit nobody knows": (
        json.dumps({"where": {**CREATININE, "min": 1, "unit": "furlong"}}),
        ("where: ", "'furlong' isn't known", "known are"),
    ),
    "a unit in the wrong case": (
        json.dumps({"where": {**CREATININE, "min": 1, "unit": "MMOL/L"}}),
        ("where: ", "'MMOL/L' isn't known", "mmol/L", "case matters"),
    ),
    "a bound without a unit": (
        where(MR, {**CREATININE, "max": 9}),
        ("where.of[1]: ", "a bound and no unit", "give `unit`"),
    ),
    "a unit without a bound": (
        json.dumps({"where": {**CREATININE, "unit": "mmol/L"}}),
        ("where: ", "a unit and no bound", "leave the unit out"),
    ),
    "bounds the wrong way round": (
        json.dumps({"where": {**CREATININE, "min": 9, "max": 1, "unit": "g/L"}}),
        ("min 9 is above max 1", "swap them"),
    ),
    "ages the wrong way round": (
        json.dumps({"where": {"kind": "age", "at": MR, "min": 80, "max": 20}}),
        ("min 80 is above max 20", "swap them"),
    ),
    "a calendar date": (
        where(MR | {"since": "2031-01-01"}),
        ("where.of[0]: ", "`since` asks for a calendar date", "with `order`"),
    ),
    "a year in the future": (
        json.dumps({"where": {"kind": "death", "year": 2099}}),
        ("where: ", "`year` asks for a calendar date", "how many days lie between two events"),
    ),
    "more days than people live": (
        json.dumps({"where": {"kind": "order", "event": MR, "when": "after", "other": {"kind": "death"},
                              "min_days": 99_999}}),
        ("where.min_days: ", "less than or equal to"),
    ),
    "an age nobody has": (
        json.dumps({"where": {"kind": "age", "at": MR, "min": 131}}), ("where.min: ", "less than or equal to 130"),
    ),
    "its own opposite": (where(MR, {"kind": "not", "of": MR}), ("where: ", "opposite", "nobody", "take one away")),
    "its own opposite, either": (
        where(MR, {"kind": "not", "of": MR}, kind="any"), ("where: ", "everybody", "take one away"),
    ),
    "two sexes at once": (
        where({"kind": "sex", "any_of": ["F"]}, {"kind": "sex", "any_of": ["M"]}),
        ("where.of[1]: ", "nobody is left", "`any_of`"),
    ),
    "two ages at one death": (
        where({"kind": "age", "at": {"kind": "death"}, "max": 20}, {"kind": "age", "at": {"kind": "death"}, "min": 30}),
        ("where.of[1]: ", "nobody is left", "one `age`"),
    ),
    "a not of a not": (
        json.dumps({"where": {"kind": "not", "of": {"kind": "not", "of": MR}}}), ("where: ", "take both away"),
    ),
    "an index event that isn't there": (
        json.dumps({"where": {"kind": "age", "at": {"kind": "index"}, "min": 3}}),
        ("where.at: ", "index event", "give `index`"),
    ),
    "an event after itself": (
        json.dumps({"where": {"kind": "order", "event": MR, "when": "after", "other": MR}}),
        ("where: ", "0 days from itself", "`min_days`"),
    ),
    "too deep by a little": (deep(DEEPEST), (f"more than {DEEPEST} criteria", "flatten the question")),
    "deeper than JSON is read": ("[" * 30_000, ("nested too deeply", str(DEEPEST))),
    "too large": ('{"where": "' + "x" * LARGEST + '"}', (f"at most {LARGEST}",)),
    "no code": (json.dumps({"where": {"kind": "condition", "codes": {}}}), ("where.codes: ", "names no code")),
    "an unknown kind": (json.dumps({"where": {"kind": "sql"}}), ("where: ", "isn't something that can be asked")),
    "an unknown key": (where(MR | {"patient": "DOE"}), ("where.of[0].patient: ", "isn't known here")),
    "not a number": ('{"where": {"kind": "age", "at": {"kind": "death"}, "min": NaN}}', ("where.min: ",)),
    "cut short": ('{"where": ', ("line 1, column", "isn't JSON")),
    "another encoding": ('{"where": "\u00e9"}', ("isn't UTF-8",)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_question_is_refused_with_what_where_and_the_mend(name: str) -> None:
    text, said = BAD[name]
    with pytest.raises(QuestionRefused) as refused:
        read_question(text.encode("latin-1" if name == "another encoding" else "utf-8"))
    told = str(refused.value)
    assert "\n" not in told and len(told) < 900
    for words in said:
        assert words in told


def test_a_question_of_very_many_criteria_says_how_many_may_be_asked() -> None:
    part = {"kind": "any", "of": [MR | {"max_thickness": number} for number in range(90)]}
    with pytest.raises(QuestionRefused, match=f"at most {MOST_NODES} can be asked"):
        read_question(where(*[part | {"of": [*part["of"], MR | {"min_thickness": n}]} for n in range(3)]))


def test_the_deepest_question_that_is_allowed_is_read() -> None:
    assert read_question(deep(DEEPEST - 1)).where is not None


@pytest.mark.parametrize("unit", known_units())
def test_every_known_unit_can_be_asked_in(unit: str) -> None:
    asked = patients.with_(measurement("LOINC", "2160-0", low=1, unit=unit)).question()
    assert read_question(asked.model_dump_json()) == asked


def test_a_sentence_and_its_json_are_one_tree() -> None:
    tumour = condition("SNOMED", "254935002")
    asked = (
        patients.since_first(tumour)
        .of_sex("F")
        .aged(40)
        .and_(after(imaging(modality="MR", body_part="HEAD"), index, at_most=365))
        .without(aged(90, at=death))
        .question()
    )
    text = {
        "index": {"event": {"kind": "condition", "codes": {"codes": [{"vocabulary": "SNOMED", "code": "254935002"}]}}},
        "where": {"kind": "all", "of": [
            {"kind": "sex", "any_of": ["F"]},
            {"kind": "age", "at": {"kind": "index"}, "min": 40},
            {"kind": "order", "event": {"kind": "imaging", "modality": "MR", "body_part": "HEAD"}, "when": "after",
             "other": {"kind": "index"}, "max_days": 365},
            {"kind": "not", "of": {"kind": "age", "at": {"kind": "death"}, "min": 90}},
        ]},
    }  # fmt: skip
    read = read_question(json.dumps(text))
    assert read == asked and read.content_digest() == asked.content_digest()
    assert "0 to 365" not in read.in_words() and "up to 365 days after" in read.in_words()
    assert codes("SNOMED", "2", "1") == codes("SNOMED", "1", "2", "1"), "the same set has one digest"
