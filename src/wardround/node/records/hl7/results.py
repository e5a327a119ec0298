"""What ORU^R01 tells: each OBX as a measurement or an observation.

A result's key is its order's number, its code and its sub-id, so that a correction takes the place of what it corrects.
Results of imaging departments are observations, all others measurements.

Source: HL7 2.5.1, 7.3.1 (ORU^R01), 7.4.1 (OBR), 7.4.2 (OBX), 2.A.70 (SN), tables 0074 (department), 0085 (status).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from wardround.node.records.hl7.conventions import Conventions
from wardround.node.records.hl7.er7 import Field, Message, Segment
from wardround.node.records.hl7.moments import v2_moment
from wardround.node.records.hl7.patient import codes_in, needed_codes
from wardround.node.records.hl7.values import NotTaken, dated
from wardround.node.records.hl7.vocabularies import COMPARATORS, FROM_LABORATORY, FROM_RECORD
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, PersonIdentity, Rejected, Row, Value

_IMAGING = frozenset({"RAD", "RX", "CT", "NMR", "NMS", "RUS", "OUS", "VUS", "CUS", "VR", "XRC", "CTH", "MR", "US"})
_FINAL = frozenset({"F", "C"})
_WRONG = frozenset({"W", "D"})
_ABSENT = {"X": "no result could be had", "N": "not asked for", "O": "an order, no result"}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_BOUNDED = re.compile(r"(<=|>=|<|>)?\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))", re.ASCII)
_RANGE = re.compile(r"\s*([+-]?\d+(?:\.\d*)?)\s*-\s*([+-]?\d+(?:\.\d*)?)\s*", re.ASCII)
_LONGEST = 40
_CODED = frozenset({"CE", "CWE", "CNE", "CF"})
_TEXT = frozenset({"ST", "TX", "FT"})
_UNKEPT = frozenset({"DT", "TM", "TS", "DTM", "ED", "RP", "NA", "MA", "CX", "XCN", "XPN", "XAD", "XTN", "ID", "IS"})


def results(message: Message, who: PersonIdentity, conventions: Conventions, where: str) -> Iterator[Row | Rejected]:
    """Rows of `measurement` and `observation`."""
    order: Segment | None = None
    number = 0
    for segment in message.segments:
        if segment.name == "OBR":
            order = segment
        elif segment.name == "OBX":
            number += 1
            place = f"{where} OBX {number}"
            if order is None:
                yield Rejected(Reason.MALFORMED, f"{place}: no OBR before it")
                continue
            try:
                yield from _Result(order, segment, who, conventions, place).records()
            except NotTaken as refused:
                yield refused.at(place)


@dataclass(frozen=True, slots=True)
class _Result:
    order: Segment
    said: Segment
    who: PersonIdentity
    conventions: Conventions
    where: str

    @property
    def table(self) -> str:
        return "observation" if self.order[24][1].upper() in _IMAGING else "measurement"

    def key(self, code: Code) -> str:
        """The filler's number of the order, or else the placer's; or else what was done to whom and when."""
        for number in (3, 2):
            field = self.order[number]
            if field[1]:
                name = f"{number}|{field[2]}|{field[1]}"
                break
        else:
            name = f"{self.who.patient_id}|{self.order[4][1]}|{self.order[7][1]}"
        return self.conventions.key(f"OBX|{name}|{code}|{self.said[4][1]}")

    def records(self) -> Iterator[Row | Rejected]:
        codes = needed_codes(self.said[3], self.conventions)
        key, status = self.key(codes[0]), (self.said[11][1] or self.order[25][1]).upper()
        if status in _WRONG or status in _ABSENT:
            yield Row(self.table, key, self.who, {}, self.where, removed=True)
            reason = Reason.ENTERED_IN_ERROR if status in _WRONG else Reason.UNSUPPORTED
            raise NotTaken(reason, _ABSENT.get(status, ""))
        if status not in _FINAL:
            raise NotTaken(Reason.NOT_FINAL)
        field = self.said[14] or self.order[7]
        if not field:
            raise NotTaken(Reason.NO_DATE)
        moment = v2_moment(field[1])
        if moment is None:
            raise NotTaken(Reason.BAD_DATE)
        values: dict[str, Value] = {
            f"{self.table}_concept_id": codes,
            f"{self.table}_type_concept_id": FROM_RECORD if self.table == "observation" else FROM_LABORATORY,
            **dated(self.table, moment),
            **self._value(),
        }
        yield Row(self.table, key, self.who, values, self.where)

    def _value(self) -> dict[str, Value]:
        kind, given = self.said[2][1].upper(), self.said.all(5)
        if kind in _UNKEPT or (not kind and not given):
            return {}
        if kind in _TEXT:
            return self._worded(given[0]) if len(given) == 1 else {}
        if len(given) > 1:
            raise NotTaken(Reason.UNSUPPORTED, "more than one value")
        value = given[0] if given else Field("", self.said.delimiters)
        if kind in _CODED:
            codes = codes_in(value, self.conventions)
            return {"value_as_concept_id": codes} if codes else {}
        if kind == "NM":
            return self._number(value[1])
        if kind == "SN":
            if value[3] or value[4]:
                # A range, a ratio or a grade (such as 1:128 or 2+) is no number.
                return {}
            return self._number(value[2], value[1])
        raise NotTaken(Reason.UNSUPPORTED, "its kind of value")

    def _worded(self, value: Field) -> dict[str, Value]:
        """A number that was sent as text, as many do, is one if it has a unit; any other text isn't kept."""
        found = _BOUNDED.fullmatch(value[1]) if len(value[1]) <= _LONGEST else None
        return {} if found is None or not self.said[6] else self._number(found[2], found[1] or "")

    def _number(self, text: str, comparator: str = "") -> dict[str, Value]:
        if not _NUMBER.fullmatch(text) or len(text) > _LONGEST:
            raise NotTaken(Reason.BAD_VALUE)
        values: dict[str, Value] = {"value_as_number": float(text)}
        unit = self._unit()
        if unit is not None:
            values["unit_concept_id"] = unit
        if comparator not in ("", "="):
            # An observation has no column for it: a bound would pass for the value itself.
            if comparator not in COMPARATORS or self.table == "observation":
                raise NotTaken(Reason.BAD_VALUE)
            values["operator_concept_id"] = COMPARATORS[comparator]
        bounds = _RANGE.fullmatch(self.said[7][1]) if len(self.said[7][1]) <= _LONGEST else None
        if bounds and self.table == "measurement":
            values |= {"range_low": float(bounds[1]), "range_high": float(bounds[2])}
        return values

    def _unit(self) -> Code | None:
        """OBX-6: UCUM by name, or without a name, as most senders leave it."""
        field = self.said[6]
        if not field:
            return None
        for at in (1, 4):
            code, system = field[at], field[at + 2].upper()
            fits = code and code.isascii() and code.isprintable() and " " not in code and len(code) <= _LONGEST
            if fits and (system == "UCUM" or (at == 1 and not system)):
                return Code("UCUM", code)
        raise NotTaken(Reason.UNIT_UNKNOWN)
