"""Which messages are taken, and what is said of one that isn't: the same at a file and on the wire.

Source: HL7 2.5.1, 2.9 (acknowledgement), tables 0008 (acknowledgement code), 0357 (error code), 0103 (processing id).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wardround.node.records.hl7 import stays
from wardround.node.records.hl7.conventions import Conventions
from wardround.node.records.hl7.er7 import Message
from wardround.node.records.hl7.patient import identified, person
from wardround.node.records.hl7.results import results
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Rejected, Row

VERSIONS = frozenset({"2.3", "2.3.1", "2.4", "2.5", "2.5.1"})
_ADT = stays.VISITS | stays.PERSONS | {stays.CANCELLED}
_TOLD = {
    "A40": "a merge of patients; load the records anew under the number that stays",
    "A23": "the deletion of a patient; see wardround node optout",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message isn't taken. error: whether it can't be understood (AE), rather than isn't taken (AR). number: of
    table 0357. text: names what, never a value."""

    error: bool
    number: int
    text: str
    reason: Reason


def refusal(message: Message, conventions: Conventions) -> Refusal | None:
    """Why this message isn't taken, or None if it is."""
    code, event = message.kind
    if not code or not message.control_id:
        return Refusal(True, 101, "MSH-9 or MSH-10 is empty", Reason.MALFORMED)
    if message.header[12][1] not in VERSIONS:
        return Refusal(False, 203, "MSH-12: versions 2.3 to 2.5.1 are taken", Reason.UNSUPPORTED)
    if message.header[11][1].upper() != "P":
        return Refusal(False, 202, "MSH-11: production messages alone are taken", Reason.UNSUPPORTED)
    if (code, event) not in (("ORU", "R01"), ("ORU", "")) and code != "ADT":
        return Refusal(False, 200, "MSH-9: ADT and ORU^R01 are taken", Reason.UNSUPPORTED)
    if code == "ADT" and event not in _ADT:
        why = _TOLD.get(event, "this event of ADT isn't taken")
        return Refusal(False, 201, f"MSH-9: {why}", Reason.UNSUPPORTED)
    if len(message.every("PID")) != 1:
        return Refusal(True, 100, "there isn't just one PID segment", Reason.MALFORMED)
    if identified(message, conventions) is None:
        return Refusal(True, 204, "PID-3 names no patient by the hospital's own number", Reason.NO_PERSON)
    return None


def records(message: Message, conventions: Conventions, where: str) -> Iterator[Row | Rejected]:
    """What a message tells, or why it isn't taken."""
    refused = refusal(message, conventions)
    who = identified(message, conventions)
    if refused is not None or who is None:
        yield Rejected(refused.reason, f"{where}: {refused.text}") if refused else Rejected(Reason.NO_PERSON, where)
        return
    code, event = message.kind
    where = f"{where} ({code}^{event or 'R01'})"
    if code == "ORU":
        yield from results(message, who, conventions, where)
        return
    yield from person(message, who, conventions, where)
    if event not in stays.PERSONS:
        yield from stays.Stay(message, who, conventions, where).records()
