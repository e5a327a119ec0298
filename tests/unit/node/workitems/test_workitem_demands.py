"""A workitem says what the standard asks of it when it is made, changed and ended (PS3.4 Table CC.2.5-3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.node.workitems.task_lab import SOURCE, task

from wardround.node.dicomweb.failure import WebFailure
from wardround.node.workitems import attributes as at
from wardround.node.workitems.demands import lacking, read_dataset, read_task, read_update
from wardround.node.workitems.states import StepState

STUDY = str(SOURCE.StudyInstanceUID)


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({at.STATE: at.one("CS", "IN PROGRESS")}, "SCHEDULED"),
        ({at.TRANSACTION_UID: at.one("UI", "1.2")}, "empty"),
        ({at.PRIORITY: None}, "Priority"),
        ({at.LABEL: at.one("LO")}, "Label"),
        ({at.READINESS: at.one("CS", "SOON")}, "READY"),
        ({at.START: None}, "Start"),
        ({at.WORK_CODE: at.items()}, "one code"),
        ({at.INPUT: at.items()}, "one study"),
        ({at.INPUT: at.items(at.referenced("1.2", "1", []), at.referenced("1.3", "1", []))}, "one study"),
        ({at.WORK_CODE: at.items(at.coded("X" * 17, "99P", "x"))}, "longer"),
    ],
)
def test_a_task_that_isnt_whole_is_refused_with_what_it_lacks(changes: dict[str, Any], mend: str) -> None:
    with pytest.raises(WebFailure, match=mend) as refused:
        read_task(task(**changes), "2.25.1")
    assert refused.value.status == 400


def test_a_task_says_which_study_what_to_do_and_whether_more_was_said_than_is_kept() -> None:
    plain = read_task(task(), "")
    assert (plain.study, plain.code[0], plain.priority, plain.modified) == (STUDY, "OPINION", "MEDIUM", False)
    assert read_task(task(**{"00380010": at.one("LO", "A1")}), "").modified
    assert read_task(task(**{at.SOP_INSTANCE: at.one("UI", "1.2")}), "").uid == "1.2"


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (StepState.SCHEDULED, {at.PERFORMED: at.items({})}),
        (StepState.SCHEDULED, {at.PRIORITY: at.one("CS", "NOW")}),
        (StepState.IN_PROGRESS, {at.PRIORITY: at.one("CS", "HIGH")}),
        (StepState.IN_PROGRESS, {at.PATIENT[0]: at.one("PN", {"Alphabetic": "Else^Somebody"})}),
        (StepState.IN_PROGRESS, {at.STATE: at.one("CS", "COMPLETED")}),
        (StepState.IN_PROGRESS, {at.PERFORMED: at.items({}, {})}),
        (StepState.IN_PROGRESS, {}),
    ],
)
def test_nobody_updates_what_isnt_theirs_to_say(state: StepState, changes: dict[str, Any]) -> None:
    with pytest.raises(WebFailure):
        read_update(changes, state)


def test_an_end_without_what_it_needs_is_told_all_that_is_missing() -> None:
    assert len(lacking(StepState.COMPLETED, {})) == 5 and len(lacking(StepState.CANCELED, {})) == 2


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_message_does_more_than_be_refused(body: bytes) -> None:
    with pytest.raises(WebFailure):
        read_task(read_dataset(body), "")


@given(
    st.dictionaries(
        st.sampled_from([*task()]),
        st.none()
        | st.text()
        | st.dictionaries(
            st.sampled_from(["vr", "Value"]),
            st.lists(st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.text())) | st.text(),
        ),
    )
)
def test_whatever_its_attributes_are_a_task_is_whole_or_refused(attributes: dict[str, Any]) -> None:
    try:
        made = read_task(task(**attributes), "")
    except WebFailure as refused:
        assert refused.status == 400
    else:
        assert made.study and all(made.code) and made.label
