"""What ADT messages tell: visits, and the diagnoses and procedures that they name.

Source: HL7 2.5.1, chapter 3 (ADT; PV1) and chapter 6 (DG1, PR1); tables 0004 (patient class), 0052 (diagnosis type),
0206 (segment action).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wardround.node.records.hl7.conventions import Conventions
from wardround.node.records.hl7.er7 import Field, Message, Segment
from wardround.node.records.hl7.moments import Moment, v2_moment
from wardround.node.records.hl7.patient import needed_codes
from wardround.node.records.hl7.values import NotTaken, dated
from wardround.node.records.hl7.vocabularies import EMERGENCY, FROM_RECORD, INPATIENT, OUTPATIENT
from wardround.node.records.reasons import Reason
from wardround.node.records.row import PersonIdentity, Rejected, Row, Value
from wardround.node.records.schema import NO_CONCEPT

VISITS = frozenset({"A01", "A02", "A03", "A04", "A06", "A07", "A08", "A13"})
"""Events that tell of a visit as it is now."""
CANCELLED = "A11"
"""The visit that was told of didn't take place."""
PERSONS = frozenset({"A28", "A31"})
"""Events that tell of the person alone."""
_CLASSES = {"I": INPATIENT, "O": OUTPATIENT, "E": EMERGENCY, "R": OUTPATIENT}
_FINAL, _DELETED = "F", "D"


@dataclass(frozen=True, slots=True)
class Stay:
    """An ADT message of a visit."""

    message: Message
    who: PersonIdentity
    conventions: Conventions
    where: str

    @property
    def number(self) -> str:
        """The visit's number with who gave it (PV1-19); empty where it has none."""
        segment = self.message.first("PV1")
        if segment is None or not segment[19][1]:
            return ""
        return f"{segment[19].part(4, 1)}|{segment[19][1]}"

    @property
    def key(self) -> str:
        return self.conventions.key(f"PV1|{self.number}")

    def records(self) -> Iterator[Row | Rejected]:
        """Rows of `visit_occurrence`, `condition_occurrence` and `procedure_occurrence`."""
        visited = False
        try:
            for row in self._visit():
                visited = visited or not row.removed
                yield row
        except NotTaken as refused:
            yield refused.at(f"{self.where} PV1")
        visit: dict[str, Value] = {"visit_occurrence_id": self.key} if visited else {}
        for name, read in (("DG1", self._diagnosis), ("PR1", self._procedure)):
            for number, segment in enumerate(self.message.every(name), start=1):
                try:
                    yield read(segment, f"{self.where} {name} {number}", visit)
                except NotTaken as refused:
                    yield refused.at(f"{self.where} {name} {number}")

    def _visit(self) -> Iterator[Row]:
        segment = self.message.first("PV1")
        if segment is None or not self.number:
            return
        where = f"{self.where} PV1"
        if self.message.kind[1] == CANCELLED:
            yield Row("visit_occurrence", self.key, self.who, {}, where, removed=True)
            return
        values: dict[str, Value] = {
            "visit_concept_id": _CLASSES.get(segment[2][1].upper(), NO_CONCEPT),
            "visit_type_concept_id": FROM_RECORD,
            **dated("visit_start", _needed(self._admitted(segment))),
        }
        if segment[45] and self.message.kind[1] != "A13":
            values |= dated("visit_end", _needed(segment[45]))
        yield Row("visit_occurrence", self.key, self.who, values, where)

    def _admitted(self, visit: Segment) -> Field:
        """The time of admission; of what tells of one, the event's own will do."""
        event = self.message.first("EVN")
        if visit[44] or event is None or self.message.kind[1] not in ("A01", "A04"):
            return visit[44]
        return event[6] or event[2]

    def _diagnosis(self, segment: Segment, where: str, visit: dict[str, Value]) -> Row:
        return self._event("condition_occurrence", "condition", "condition_start", segment, where, visit)

    def _procedure(self, segment: Segment, where: str, visit: dict[str, Value]) -> Row:
        return self._event("procedure_occurrence", "procedure", "procedure", segment, where, visit)

    def _event(self, table: str, stem: str, start: str, segment: Segment, where: str, visit: dict[str, Value]) -> Row:
        """A DG1 or PR1: its code in 3, its time in 5; a diagnosis counts once it is final."""
        codes = needed_codes(segment[3], self.conventions)
        moment = _needed(segment[5])
        key = self.conventions.key(f"{segment.name}|{self.number}|{self.who.patient_id}|{codes[0]}|{moment.whole}")
        if segment[21 if segment.name == "DG1" else 20][1].upper() == _DELETED:
            return Row(table, key, self.who, {}, where, removed=True)
        if segment.name == "DG1" and segment[6][1].upper() != _FINAL:
            raise NotTaken(Reason.NOT_FINAL)
        values: dict[str, Value] = {
            f"{stem}_concept_id": codes,
            f"{stem}_type_concept_id": FROM_RECORD,
            **dated(start, moment),
            **visit,
        }
        return Row(table, key, self.who, values, where)


def _needed(field: Field) -> Moment:
    if not field:
        raise NotTaken(Reason.NO_DATE)
    moment = v2_moment(field[1])
    if moment is None:
        raise NotTaken(Reason.BAD_DATE)
    return moment
