"""One row of a CSV as the person and the records that it gives."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Cells
from dataclasses import replace
from hashlib import sha256

from wardround.node.records.hl7.conventions import usable
from wardround.node.records.hl7.values import NotTaken, dated, death
from wardround.node.records.hl7.vocabularies import FROM_RECORD
from wardround.node.records.mapped.mapping import Mapping, Record
from wardround.node.records.mapped.template import Template
from wardround.node.records.mapped.values import born, code, coded, holds, measured, moment, sex
from wardround.node.records.reasons import Reason
from wardround.node.records.row import PersonIdentity, Rejected, Row, Value
from wardround.node.records.schema import PERSON
from wardround.node.records.tabular.index import Index
from wardround.node.records.tabular.link import Link

_TABLES = {
    # Ours to OMOP's table, the stem of its concept and type, of its first day, and the column of its last.
    "condition": ("condition_occurrence", "condition", "condition_start", "condition_end_date"),
    "procedure": ("procedure_occurrence", "procedure", "procedure", "procedure_end_date"),
    "drug": ("drug_exposure", "drug", "drug_exposure_start", "drug_exposure_end_date"),
    "measurement": ("measurement", "measurement", "measurement", ""),
    "observation": ("observation", "observation", "observation", ""),
    "visit": ("visit_occurrence", "visit", "visit_start", "visit_end_date"),
    "death": ("death", "cause", "death", ""),
}


class Rows:
    """Reads the rows of one load, in the order in which they come."""

    def __init__(self, mapping: Mapping, index: Index, link: Link | None) -> None:
        self._mapping, self._index, self._link = mapping, index, link
        self._decimal = mapping.file.decimal

    def read(self, cells: Cells[str, str], where: str) -> Iterator[Row | Rejected]:
        """What a row gives. `cells` has those alone that say something.

        A record that the row doesn't give, though the mapping names it, goes if it was loaded before: a corrected file
        says all that is so.
        """
        try:
            number, person = self._whom(cells)
            key = self._key(number, person, cells)
        except NotTaken as refused:
            yield refused.at(where)
            return
        try:
            yield from self._person(number, person, cells, where)
        except NotTaken as refused:
            yield refused.at(where)
        for record in self._mapping.record:
            try:
                row = self._record(record, number if record.table == "death" else key, person, cells, where)
                if row is not None:
                    yield row
            except NotTaken as refused:
                yield refused.at(f"{where}: {record.table} {record.called}")

    def _whom(self, cells: Cells[str, str]) -> tuple[str, PersonIdentity]:
        number = self._mapping.person.number.fill(cells)
        if number is None or not usable(number):
            raise NotTaken(Reason.NO_PERSON, self._mapping.person.number.text)
        filled = ((one.number.fill(cells), one.issuer) for one in self._mapping.person.others)
        others = tuple((said, issuer) for said, issuer in filled if said is not None and usable(said))
        if self._link is None:
            return number, PersonIdentity(number, self._mapping.person.issuer, others)
        person = self._link.find(number)
        if person is None:
            raise NotTaken(Reason.NOT_LINKED)
        return number, replace(person, others=others)

    def _key(self, number: str, person: PersonIdentity, cells: Cells[str, str]) -> str:
        template = self._mapping.file.key
        key = number if template is None else template.fill(cells)
        if key is None:
            raise NotTaken(Reason.MALFORMED, f"file.key {template.text if template else ''} says nothing")
        if not self._index.add("row", key):
            raise NotTaken(Reason.DUPLICATE, _named(template))
        return key

    def _person(
        self, number: str, person: PersonIdentity, cells: Cells[str, str], where: str
    ) -> Iterator[Row | Rejected]:
        """The person, once; and again where a row says something else of them."""
        spec = self._mapping.person
        values: dict[str, Value] = {"gender_concept_id": sex(spec.sex, cells, self._decimal)}
        for column, template in (("race_concept_id", spec.race), ("ethnicity_concept_id", spec.ethnicity)):
            found = None if template is None else code(template, cells)
            if found is not None:
                values[column] = found
        said = repr(values) if spec.age is not None else None
        values |= born(spec, self._mapping.date, cells, self._decimal)
        # Ages on several days lead to births some months apart, which aren't two persons' for that.
        said = said or repr(values)
        if self._index.add(PERSON, f"{number}|{sha256(said.encode()).hexdigest()}"):
            yield Row(PERSON, number, person, values, where)

    def _record(
        self, record: Record, key: str, person: PersonIdentity, cells: Cells[str, str], where: str
    ) -> Row | None:
        table, stem, start, end = _TABLES[record.table]
        values = self._values(record, stem, start, end, cells)
        if values is None and record.table == "death" and self._mapping.file.key is not None:
            # Of several rows of one person any may tell of the death; that another doesn't takes nothing back.
            return None
        return Row(table, f"{record.called}|{key}", person, values or {}, where, removed=values is None)

    def _values(
        self, record: Record, stem: str, start: str, end: str, cells: Cells[str, str]
    ) -> dict[str, Value] | None:
        """The values of a record; None if the row doesn't give it."""
        if not all(holds(when, cells, self._decimal) for when in record.when):
            return None
        type_of = "death" if record.table == "death" else stem
        values: dict[str, Value] = {f"{type_of}_type_concept_id": FROM_RECORD}
        if record.concept is not None:
            values[f"{stem}_concept_id"] = record.concept
        elif record.code is not None or record.codes is not None:
            found = coded(record, cells)
            if found is None:
                return None
            values[f"{stem}_concept_id"] = found
        said = measured(record, cells, self._decimal)
        day = record.date or self._mapping.date
        if said is None or day is None:
            return None
        at = moment(day, cells)
        if record.table == "death":
            return None if at is None else values | death(at, FROM_RECORD)
        if at is None:
            raise NotTaken(Reason.NO_DATE)
        last = None if record.end is None else moment(record.end, cells)
        if last is not None:
            values[end] = last.whole
        return values | said | dated(start, at)


def _named(template: Template | None) -> str:
    return "name what tells rows of one person apart (file.key)" if template is None else f"file.key {template.text}"
