"""A number of people leaves a node in one form only, and no contract has room for another."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from wardround.contracts import ledger_entry
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.disclosure import SMALLEST_TOLD, Count, disclosed, told_size
from wardround.contracts.limits import LIMITS
from wardround.contracts.outbound import OUTBOUND, Outbound

PEOPLE = st.integers(0, 10_000_000)


@given(PEOPLE)
def test_what_is_told_is_at_least_ten_and_a_multiple_of_five_nearby(people: int) -> None:
    about = disclosed(people).about
    if people < 10:
        assert about is None
    else:
        assert about is not None and about >= 10 and about % 5 == 0
        assert abs(about - people) <= 2
    assert told_size(people) == (about or 10)


@given(PEOPLE, PEOPLE)
def test_more_people_are_never_told_as_fewer(one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    assert (disclosed(fewer).about or 0) <= (disclosed(more).about or 0)


@pytest.mark.parametrize("people", [0, 1, 5, 9])
def test_few_people_and_nobody_are_told_alike(people: int) -> None:
    assert disclosed(people) == disclosed(0)
    assert disclosed(people).in_words() == "fewer than 10"


@given(st.integers(-5, 9))
def test_a_small_count_cant_be_put_into_words_at_all(people: int) -> None:
    with pytest.raises(ValidationError):
        Count(about=people)


NUMBERS = {
    # Places and versions: of the hub's own making, or of a message in a series.
    "task-poll.after": "the number of a task, given by the hub",
    "task-poll.wait_seconds": "how long the hub may hold the call",
    "task-report.number": "the number of a task, given by the hub",
    "mirror-request.start": "a place in the ledger",
    "witness-cosignature.size": "the ledger's size, which the hub signed",
    "project-decision.entry": "a place in the ledger",
    "run-update.entry": "a place in the ledger",
    "local-model.entry": "a place in the ledger",
    "evaluation-result.entry": "a place in the ledger",
    "run-update.round": "the round, given by the hub",
    # What was measured or told.
    "cohort-answer.people.about": "a Count",
    "project-decision.people.about": "a Count",
    "evaluation-result.patients.about": "a Count",
    "run-update.weight": "told_size of the cohort (test_node_work_allowed)",
    "run-update.metrics": "means over held-out patients",
    "evaluation-result.mean_dice": "a mean over held-out patients",
    "local-model.steps": "follows from told_size and the plan (test_node_work_allowed)",
}
ENTRY_NUMBERS = {
    "withdrawal.approval": "a place in the ledger",
    "manifest.approval": "a place in the ledger",
    "manifest.people.about": "a Count",
    "update.round": "the round, given by the hub",
    "update.manifest": "a place in the ledger",
    "update.steps": "follows from told_size and the plan (test_node_work_allowed)",
    "aggregate.round": "the hub's own",
    "aggregate.updates": "places in the ledger",
    "model.best_round": "the hub's own",
    "model.metrics": "means that sites told before",
    "founding.faults": "the hub's own",
    "use.round": "the round, given by the hub",
    "use.manifest": "a place in the ledger",
    "promotion.evidence": "places in the ledger",
    "purge.studies.about": "a Count",
    "purge.manifests": "places in the ledger",
    "re-identification.people.about": "a Count",
}
SEEN = "seen.size"  # of every kind: a size of the ledger, which the hub signed


def numbers_in(model: type[BaseModel], name: str) -> Iterator[str]:
    """The paths of the fields of a message that can hold a number."""
    for field, described in model.model_fields.items():
        for part in leaves(described.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from numbers_in(part, f"{name}.{field}")
            elif part in (int, float):
                yield f"{name}.{field}"


def leaves(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is typing.Annotated:
        yield from leaves(typing.get_args(annotation)[0])
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, dict, list):
        for part in typing.get_args(annotation):
            yield from leaves(part)
    else:
        yield annotation


def members(union: Any) -> list[type[BaseModel]]:
    return list(typing.get_args(typing.get_args(union)[0]))


def kind(model: type[BaseModel]) -> str:
    return str(model.model_fields["kind"].default)


def test_every_number_that_can_leave_is_known_and_says_why_it_may() -> None:
    assert {path for model in members(Outbound) for path in numbers_in(model, kind(model))} == NUMBERS.keys()


def test_every_number_that_a_ledger_entry_can_hold_is_known() -> None:
    found = {path for model in members(ledger_entry.Entry) for path in numbers_in(model, kind(model))}
    kinds = {kind(model) for model in members(ledger_entry.Entry)}
    assert found == ENTRY_NUMBERS.keys() | {f"{name}.{SEEN}" for name in kinds}


def test_the_list_of_what_may_leave_has_a_limit_for_each() -> None:
    assert set(members(Outbound)) == set(LIMITS)
    assert all(limit.header <= 128 * 1024 for limit in LIMITS.values())


@pytest.mark.parametrize("model", members(Outbound), ids=kind)
def test_no_message_takes_a_field_that_isnt_its_own(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as refused:
        OUTBOUND.validate_python({"kind": kind(model), "patient_name": "DOE^JANE"})
    assert any(error["type"] == "extra_forbidden" for error in refused.value.errors())


@given(
    st.builds(
        dict,
        min_age=st.none() | st.integers(0, 130),
        max_age=st.none() | st.integers(0, 130),
        sex=st.sampled_from([None, "F", "M", "O"]),
        has_label=st.sampled_from([None, True, False]),
    )
)
def test_a_question_reads_as_a_sentence_and_keeps_its_digest(asked: dict[str, Any]) -> None:
    low, high = asked["min_age"], asked["max_age"]
    if low is not None and high is not None and low > high:
        with pytest.raises(ValidationError, match="swap them"):
            CohortQuestion(**asked)
        return
    question = CohortQuestion(**asked)
    words = question.in_words()
    assert words.startswith("patients")
    for bound in (low, high):
        assert bound is None or str(bound) in words
    assert CohortQuestion.model_validate_json(question.model_dump_json()).content_digest() == question.content_digest()
    assert SMALLEST_TOLD == 10
