"""What every kind of resource is read with: whose it is, its codes, its dates, its key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from wardround.node.records.fhir.navigate import Json, child, codes_in, text
from wardround.node.records.fhir.people import People
from wardround.node.records.fhir.stream import Found
from wardround.node.records.hl7.conventions import Conventions
from wardround.node.records.hl7.moments import Moment, fhir_moment
from wardround.node.records.hl7.values import NotTaken, dated
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, PersonIdentity, Row, Value


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource with what it takes to read it."""

    found: Found
    people: People
    conventions: Conventions

    @property
    def json(self) -> Json:
        return self.found.resource

    @property
    def key(self) -> str:
        """Its name at the source: type and id, or else its address, or a digest of all it says."""
        own = text(self.json, "id")
        if own:
            return self.conventions.key(f"{self.found.kind}/{own}")
        if self.found.url:
            return self.conventions.key(self.found.url)
        said = json.dumps(self.json, sort_keys=True, default=str)
        return self.conventions.key(f"{self.found.kind}:{sha256(said.encode('utf-8', 'replace')).hexdigest()}")

    def person(self) -> PersonIdentity:
        """Whom it is about; raises NotTaken."""
        person = self.people.of(self.found, child(self.json, "subject"))
        if person is None:
            raise NotTaken(Reason.NO_PERSON)
        return person

    def codes(self, concept: Json) -> tuple[Code, ...]:
        """The codes of a CodeableConcept that are of known vocabularies."""
        made = (self.conventions.code(system, code) for system, code in codes_in(concept))
        return tuple(code for code in made if code is not None)

    def needed_codes(self, concept: Json) -> tuple[Code, ...]:
        """At least one code; raises NotTaken."""
        codes = self.codes(concept)
        if not codes:
            raise NotTaken(Reason.BAD_CODE if any(code for _, code in codes_in(concept)) else Reason.NO_CODE)
        return codes

    def moment(self, *names: str) -> Moment | None:
        """The first of these fields that is there, a date or the start of a Period; NotTaken if it is neither."""
        for name in names:
            said = text(self.json, name) or text(child(self.json, name), "start")
            if said:
                moment = fhir_moment(said)
                if moment is None:
                    raise NotTaken(Reason.BAD_DATE)
                return moment
        return None

    def when(self, stem: str, *names: str) -> dict[str, Value]:
        """`STEM_date` and `STEM_datetime` of an event; raises NotTaken without a whole day: OMOP has no other."""
        moment = self.moment(*names)
        if moment is None:
            raise NotTaken(Reason.NO_DATE)
        return dated(stem, moment)

    def row(self, table: str, values: dict[str, Value], key: str | None = None) -> Row:
        return Row(table, key or self.key, self.person(), values, self.found.where)


def end_of(node: Json, *names: str) -> Moment | None:
    """The end of a Period, or a date, where one of these fields has a whole one."""
    for name in names:
        moment = fhir_moment(text(node, name) or text(child(node, name), "end"))
        if moment is not None and moment.whole is not None:
            return moment
    return None
