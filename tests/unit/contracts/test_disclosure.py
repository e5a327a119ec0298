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
from wardround.contracts.disclosure import SMALLEST_TOLD, UNTOLD, Count, told_size, total
from wardround.contracts.limits import LIMITS
from wardround.contracts.outbound import OUTBOUND, Outbound


@pytest.mark.parametrize("people", [-5, 0, 1, 9, 11, 12, 2.5])
def test_a_small_or_exact_count_cant_be_put_into_words_at_all(people: float) -> None:
    with pytest.raises(ValidationError):
        Count(about=people)  # type: ignore[arg-type]  # on purpose


def test_few_people_are_told_in_words_that_claim_no_number() -> None:
    assert Count(about=None).in_words() == UNTOLD
    assert Count(about=1230).in_words() == "about 1,230"
    assert told_size(Count(about=None)) == SMALLEST_TOLD
    assert told_size(Count(about=40)) == 40


COUNTS = st.lists(st.none() | st.integers(2, 10_000).map(lambda number: 5 * number))


@given(COUNTS)
def test_sites_together_are_the_sum_of_what_was_told_and_say_what_is_missing(told: list[int | None]) -> None:
    together = total(Count(about=about) for about in told)
    assert together.about == sum(about for about in told if about is not None)
    assert together.told + together.untold == len(told)
    if together.told:
        assert together.in_words().startswith("at least about" if None in told else "about")
    else:
        assert "0" not in together.in_words().replace(UNTOLD, "")


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
    "masking-message.round": "as of an update",
    # What was measured or told.
    "cohort-answer.people.about": "a Count",
    "cohort-answer.parts.people.about": "a Count",
    "project-decision.people.about": "a Count",
    "evaluation-result.patients.about": "a Count",
    "run-update.weight": "the told size of the frozen cohort, as its manifest has it (test_node_work_allowed)",
    "run-update.metrics": "means over held-out patients",
    "evaluation-result.score": "one number over held-out patients",
    "evaluation-result.membership": "one share over ten patients or more, in steps of five per cent",
    "evidence-summary.estimates.value": "one number over ten patients or more, to two decimals",
    "evidence-summary.estimates.error": "as coarse, and of the same",
    "evidence-summary.estimates.people.about": "a Count",
    "evidence-summary.groups.value": "as an estimate of all, told of every group of an axis or of none",
    "evidence-summary.groups.error": "as coarse, and of the same",
    "evidence-summary.groups.people.about": "a Count",
    "evidence-summary.entry": "a place in the ledger",
    "local-model.steps": "follows from the plan alone (test_node_work_allowed)",
}
ENTRY_NUMBERS = {
    "approval.limits.rounds": "set by the data controller, as all limits are",
    "approval.limits.runs": "set by the data controller",
    "approval.limits.messages.largest_bytes": "set by the data controller",
    "approval.limits.messages.times": "set by the data controller",
    "approval.limits.clip_norm": "set by the data controller",
    "approval.limits.noise_multiplier": "set by the data controller",
    "approval.limits.epsilon": "set by the data controller",
    "approval.limits.delta": "set by the data controller",
    "withdrawal.approval": "a place in the ledger",
    "manifest.approval": "a place in the ledger",
    "manifest.people.about": "a Count",
    "update.round": "the round, given by the hub",
    "update.manifest": "a place in the ledger",
    "update.use": "a place in the ledger",
    "evidence.use": "a place in the ledger",
    "update.steps": "follows from the plan alone (test_node_work_allowed)",
    "aggregate.round": "the hub's own",
    "aggregate.updates": "places in the ledger",
    "model.best_round": "the hub's own",
    "model.metrics": "means that sites told before",
    "founding.faults": "the hub's own",
    "use.round": "the round, given by the hub",
    "use.manifest": "a place in the ledger",
    "promotion.evidence": "places in the ledger",
    "purge.people.about": "a Count",
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
