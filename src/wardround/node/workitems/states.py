"""The states of a workitem and what each request makes of it: PS3.4 Tables CC.1.1-1 and CC.1.1-2, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class StepState(StrEnum):
    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


FINAL = frozenset({StepState.COMPLETED, StepState.CANCELED})


class Request(StrEnum):
    """What may be asked of a workitem that is there."""

    CLAIM = "claim"
    SCHEDULE = "schedule"
    COMPLETE = "complete"
    CANCEL = "cancel"
    ASK_CANCEL = "ask-cancel"
    UPDATE = "update"


ASKING = MappingProxyType(
    {
        StepState.IN_PROGRESS: Request.CLAIM,
        StepState.SCHEDULED: Request.SCHEDULE,
        StepState.COMPLETED: Request.COMPLETE,
        StepState.CANCELED: Request.CANCEL,
    }
)
"""Which request a change to a state is."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request isn't done: the status of PS3.4 section CC.2, and words for a client. warning: it is so already."""

    status: int
    words: str
    warning: bool = False


ENDED = Fault(
    0xC300, "The submitted request is inconsistent with the current state of the Target Workitem: it has ended"
)
WRONG_UID = Fault(0xC301, "The Transaction UID is missing or incorrect")
CLAIMED = Fault(0xC302, "The Target Workitem is already IN PROGRESS")
OWN = Fault(0xC302, "This node works on the Target Workitem itself")
ONLY_CREATED = Fault(0xC303, "A workitem becomes SCHEDULED by being created alone")
NOT_FINAL = Fault(0xC304, "The Target Workitem lacks what its final state requires")
NOT_CLAIMED = Fault(0xC310, "The Target Workitem is not yet IN PROGRESS")
COMPLETED_ALREADY = Fault(0xC311, "The Target Workitem is already COMPLETED")
IS_CANCELED = Fault(0xB304, "The UPS is already in the requested state of CANCELED", warning=True)
IS_COMPLETED = Fault(0xB306, "The UPS is already in the requested state of COMPLETED", warning=True)

_S, _P, _D, _C = StepState.SCHEDULED, StepState.IN_PROGRESS, StepState.COMPLETED, StepState.CANCELED
TABLE: Mapping[tuple[Request, StepState], StepState | Fault] = MappingProxyType(
    {
        (Request.CLAIM, _S): _P,
        (Request.CLAIM, _P): CLAIMED,
        (Request.CLAIM, _D): ENDED,
        (Request.CLAIM, _C): ENDED,
        (Request.SCHEDULE, _S): ONLY_CREATED,
        (Request.SCHEDULE, _P): ONLY_CREATED,
        (Request.SCHEDULE, _D): ONLY_CREATED,
        (Request.SCHEDULE, _C): ONLY_CREATED,
        (Request.COMPLETE, _S): NOT_CLAIMED,
        (Request.COMPLETE, _P): _D,
        (Request.COMPLETE, _D): IS_COMPLETED,
        (Request.COMPLETE, _C): ENDED,
        (Request.CANCEL, _S): NOT_CLAIMED,
        (Request.CANCEL, _P): _C,
        (Request.CANCEL, _D): ENDED,
        (Request.CANCEL, _C): IS_CANCELED,
        # Nobody works on it: it is canceled by way of IN PROGRESS. Of one that is worked on the performer decides.
        (Request.ASK_CANCEL, _S): _C,
        (Request.ASK_CANCEL, _P): _P,
        (Request.ASK_CANCEL, _D): COMPLETED_ALREADY,
        (Request.ASK_CANCEL, _C): IS_CANCELED,
        (Request.UPDATE, _S): _S,
        (Request.UPDATE, _P): _P,
        (Request.UPDATE, _D): ENDED,
        (Request.UPDATE, _C): ENDED,
    }
)
_LOCKED = frozenset({Request.CLAIM, Request.COMPLETE, Request.CANCEL})
"""Requests that carry the transaction UID, by which a performer holds a workitem."""


def outcome(request: Request, state: StepState, held_by: str | None, given: str | None) -> StepState | Fault:
    """What a request makes of a workitem in a state.

    Args:
        held_by: the transaction UID that it was claimed with.
        given: the one in the request.
    """
    if request in _LOCKED and (not given or (state is not _S and given != held_by)):
        return WRONG_UID
    if request is Request.UPDATE and (given or None) != (held_by if state is _P else None) and state not in FINAL:
        return WRONG_UID
    return TABLE[request, state]
