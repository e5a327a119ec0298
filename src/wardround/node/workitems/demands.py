"""What a workitem has to say when it is made, when it is changed, and before it ends (PS3.4 Table CC.2.5-3)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from wardround.dicom.json_model import sequence, text, values
from wardround.node.dicomweb.failure import bad_request
from wardround.node.dicomweb.header import Json, is_uid
from wardround.node.workitems import attributes as at
from wardround.node.workitems.states import StepState

LARGEST = 256 * 1024
"""Bytes of a message."""
LARGEST_REPORT = 16 * 1024
"""Characters of what an event report repeats."""
CANCEL_SAID = frozenset({at.REASON, at.REASON_CODE, at.CONTACT_URI, at.CONTACT_NAME})
PROGRESS_SAID = frozenset({at.HOW_FAR, at.HOW_FAR_IN_WORDS, at.HOW_FAR_BY, at.WHO_TO_ASK})
"""What event reports repeat (PS3.4 Table CC.2.4-1)."""
_PRIORITIES = ("HIGH", "MEDIUM", "LOW")
_READINESS = ("READY", "UNAVAILABLE", "INCOMPLETE")
_SAID_BY_PERFORMER = frozenset({at.PROGRESS, at.PERFORMED})
_SAID_BY_REQUESTER = frozenset({at.LABEL, at.PRIORITY, at.ASSIGNED})
_KEPT = frozenset(
    {
        *(at.STATE, at.PRIORITY, at.LABEL, at.ASSIGNED, at.READINESS, at.START, at.WORK_CODE, at.INPUT),
        *(at.SOP_INSTANCE, *at.PATIENT),
    }
)


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for: which study, what to do there, how urgent, and which station is to do it. `uid` is empty where
    the requester gave none; `modified` is whether the requester said more than is kept."""

    uid: str
    study: str
    code: tuple[str, str, str]
    label: str
    priority: str
    assigned: tuple[str, str, str] | None
    modified: bool


def read_dataset(body: bytes) -> Json:
    """The one dataset of a message. Raises `WebFailure` 400 where it holds none."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("the message isn't JSON") from None
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not isinstance(said, dict):
        raise bad_request("the message has to hold one dataset in the DICOM JSON Model")
    return said


def read_task(said: Json, uid: str) -> Task:
    """A new workitem. Raises `WebFailure` 400 with what it lacks."""
    given = uid or text(said, at.SOP_INSTANCE)
    if given and not is_uid(given):
        raise bad_request("the workitem's UID is none")
    if values(said, at.TRANSACTION_UID):
        raise bad_request("Transaction UID has to be empty when a workitem is created")
    _one_of(said, at.STATE, ("SCHEDULED",), "Procedure Step State")
    _one_of(said, at.PRIORITY, _PRIORITIES, "Scheduled Procedure Step Priority")
    _one_of(said, at.READINESS, _READINESS, "Input Readiness State")
    for tag, name in ((at.LABEL, "Procedure Step Label"), (at.START, "Scheduled Procedure Step Start DateTime")):
        if not text(said, tag):
            raise bad_request(f"{name} is missing")
    code = _code(said, at.WORK_CODE, "Scheduled Workitem Code Sequence")
    if code is None:
        raise bad_request("Scheduled Workitem Code Sequence has to hold one code, with its scheme and meaning")
    if len(text(said, at.LABEL)) > 64:
        raise bad_request("a label is longer than its VR allows")
    studies = {text(item, at.STUDY) for item in sequence(said, at.INPUT)}
    if len(studies) != 1 or not is_uid(study := studies.pop()):
        raise bad_request("Input Information Sequence has to name one study")
    modified = bool({tag for tag in said if values(said, tag)} - _KEPT)
    return Task(given, study, code, text(said, at.LABEL), text(said, at.PRIORITY), assigned_in(said), modified)


def assigned_in(said: Json) -> tuple[str, str, str] | None:
    """The station that is to do the work. Raises `WebFailure` 400 where several are, or one isn't coded whole."""
    return _code(said, at.ASSIGNED, "Scheduled Station Name Code Sequence")


def read_update(said: Json, state: StepState) -> Json:
    """What an update changes: while it is scheduled label, priority and station, later what the performer says of it.

    Raises:
        WebFailure: 400, it would change something else.
    """
    changes = {tag: attribute for tag, attribute in said.items() if tag != at.TRANSACTION_UID}
    allowed = _SAID_BY_REQUESTER if state is StepState.SCHEDULED else _SAID_BY_PERFORMER
    if not changes or set(changes) - allowed:
        raise bad_request(f"what can be updated while a workitem is {state} is {' and '.join(sorted(allowed))}")
    if at.PRIORITY in changes:
        _one_of(changes, at.PRIORITY, _PRIORITIES, "Scheduled Procedure Step Priority")
    if at.LABEL in changes and not 0 < len(text(changes, at.LABEL)) <= 64:
        raise bad_request("Procedure Step Label has 1 to 64 characters")
    for tag in _SAID_BY_PERFORMER & set(changes):
        if len(sequence(changes, tag)) > 1 or len(values(changes, tag)) != len(sequence(changes, tag)):
            raise bad_request("a sequence of the performer's has one item")
    return changes


def to_report(said: Json, tags: frozenset[str]) -> Json:
    """What of a message an event report repeats. Raises `WebFailure` 400 where that is more than a report may be."""
    repeated = {tag: attribute for tag, attribute in said.items() if tag in tags and values(said, tag)}
    if len(json.dumps(repeated)) > LARGEST_REPORT:
        raise bad_request("what is to be told to subscribers is too long")
    return repeated


def lacking(state: StepState, said: Json) -> tuple[str, ...]:
    """What the performer hasn't said yet that has to be said before the workitem ends so.

    Args:
        said: both sequences of the performer's, as they are now.
    """
    if state is StepState.CANCELED:
        progress = next(iter(sequence(said, at.PROGRESS)), {})
        return tuple(
            name
            for tag, name in (
                (at.CANCELED_AT, "Procedure Step Cancellation DateTime"),
                (at.REASON_CODE, "Procedure Step Discontinuation Reason Code Sequence"),
            )
            if not values(progress, tag)
        )
    done = next(iter(sequence(said, at.PERFORMED)), {})
    missing = [
        name
        for tag, name in (
            (at.STATION, "Performed Station Name Code Sequence"),
            (at.BEGUN, "Performed Procedure Step Start DateTime"),
            (at.ENDED, "Performed Procedure Step End DateTime"),
            (at.DONE_CODE, "Performed Workitem Code Sequence"),
        )
        if not values(done, tag)
    ]
    if at.OUTPUT not in done:
        missing.append("Output Information Sequence")
    return tuple(missing)


def _code(said: Json, tag: str, name: str) -> tuple[str, str, str] | None:
    if not values(said, tag):
        return None
    codes = [
        (text(item, at.CODE_VALUE), text(item, at.CODE_SCHEME), text(item, at.CODE_MEANING))
        for item in sequence(said, tag)
    ]
    if len(codes) != 1 or not all(codes[0]):
        raise bad_request(f"{name} has to hold one code, with its scheme and meaning")
    value, scheme, meaning = codes[0]
    if max(len(value), len(scheme)) > 16 or len(meaning) > 64:
        raise bad_request("a code is longer than its VR allows")
    return codes[0]


def _one_of(said: dict[str, Any], tag: str, wanted: tuple[str, ...], name: str) -> None:
    if text(said, tag) not in wanted:
        raise bad_request(f"{name} has to be {' or '.join(wanted)}")
