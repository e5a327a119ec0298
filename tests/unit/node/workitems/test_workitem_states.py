"""What each request makes of a workitem in each state: PS3.4 Table CC.1.1-2, row by row."""

from __future__ import annotations

from itertools import product

import pytest

from wardround.node.workitems.states import TABLE, Fault, Request, StepState, outcome

HELD, OTHER = "2.25.1", "2.25.2"
SCHEDULED, PROGRESS, COMPLETED, CANCELED = StepState


def told(request: Request, state: StepState, given: str | None) -> str | int:
    held = None if state is StepState.SCHEDULED else HELD
    found = outcome(request, state, held, given)
    return found.status if isinstance(found, Fault) else found.value


RIGHT = {
    # Scheduled, in progress, completed, canceled, as the standard has its columns.
    Request.CLAIM: ("IN PROGRESS", 0xC302, 0xC300, 0xC300),
    Request.SCHEDULE: (0xC303, 0xC303, 0xC303, 0xC303),
    Request.COMPLETE: (0xC310, "COMPLETED", 0xB306, 0xC300),
    Request.CANCEL: (0xC310, "CANCELED", 0xC300, 0xB304),
    Request.ASK_CANCEL: ("CANCELED", "IN PROGRESS", 0xC311, 0xB304),
    Request.UPDATE: ("SCHEDULED", "IN PROGRESS", 0xC300, 0xC300),
}


@pytest.mark.parametrize("request_", Request)
def test_the_right_transaction_uid_has_what_the_standard_says(request_: Request) -> None:
    for state, expected in zip(StepState, RIGHT[request_], strict=True):
        given = None if request_ is Request.UPDATE and state is StepState.SCHEDULED else HELD
        assert told(request_, state, given) == expected, state


@pytest.mark.parametrize("given", [None, "", OTHER])
def test_without_the_right_transaction_uid_nobody_moves_a_workitem(given: str | None) -> None:
    for request, state in product((Request.CLAIM, Request.COMPLETE, Request.CANCEL), StepState):
        if state is StepState.SCHEDULED and given:
            continue  # whoever claims it first says what the transaction UID is
        assert told(request, state, given) == 0xC301, (request, state)
    assert told(Request.UPDATE, StepState.IN_PROGRESS, given) == 0xC301
    assert told(Request.UPDATE, StepState.SCHEDULED, OTHER) == 0xC301


def test_the_table_is_whole_and_nothing_leaves_an_end() -> None:
    assert set(TABLE) == set(product(Request, StepState))
    for (_, state), following in TABLE.items():
        if state in (COMPLETED, CANCELED):
            assert isinstance(following, Fault)
