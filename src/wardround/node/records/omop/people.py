"""Whom each `person_id` is: by the link file, or by `person_source_value`."""

from __future__ import annotations

import json

from wardround.node.records.hl7.conventions import usable
from wardround.node.records.hl7.values import NotTaken
from wardround.node.records.omop.tables import MISSING
from wardround.node.records.reasons import Reason
from wardround.node.records.row import PersonIdentity
from wardround.node.records.schema import PERSON
from wardround.node.records.tabular.index import Index
from wardround.node.records.tabular.link import Link

_REMEMBERED = 50_000


class People:
    """See the module."""

    def __init__(self, index: Index, link: Link | None) -> None:
        self._index, self._link = index, link
        self.by_number = link is not None and link.by == "person_id"
        self._lately: dict[int, PersonIdentity] = {}

    def needed(self, table: str) -> list[str]:
        """Columns of a table without which nobody can be told."""
        return ["person_source_value"] if table == PERSON and not self.by_number else []

    def meet(self, number: int, said: str) -> None:
        """Note the person of a row of `person`, whose `person_source_value` is `said`; raises NotTaken."""
        if self.by_number:
            return
        said = said.strip()
        person = PersonIdentity(said) if usable(said) and said not in MISSING else None
        if self._link is not None:
            person = self._link.find(said)
        self._index.add("who", number, "" if person is None else json.dumps([person.patient_id, person.issuer]))

    def of(self, number: int) -> PersonIdentity:
        """Whom a number is; raises NotTaken if that can't be told."""
        known = self._lately.get(number)
        if known is not None:
            return known
        if self.by_number and self._link is not None:
            person, noted = self._link.find(str(number)), ""
        else:
            noted = self._index.get("who", number) or ""
            person = PersonIdentity(*json.loads(noted)) if noted else None
        if person is None:
            linked = self._link is not None and (self.by_number or self._index.get("who", number) is not None)
            raise NotTaken(Reason.NOT_LINKED) if linked else NotTaken(Reason.NO_PERSON)
        if len(self._lately) >= _REMEMBERED:
            self._lately.clear()
        self._lately[number] = person
        return person
