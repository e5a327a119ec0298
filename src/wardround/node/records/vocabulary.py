"""From codes to standard concepts, where vocabulary tables are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wardround.node.records.errors import RecordsBusy
from wardround.node.records.row import Code
from wardround.node.records.schema import NO_CONCEPT
from wardround.node.records.store import Connection, Records

_REMEMBERED = 200_000
VERSION = "vocabulary"
"""The mark that changes whenever vocabulary tables are loaded."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The code's own concept, and the standard one that it maps to; 0 where there is none."""

    own: int = NO_CONCEPT
    standard: int = NO_CONCEPT


class Vocabulary:
    """What codes mean here. A code that maps to several standard concepts means the one of the lowest number."""

    def __init__(self, records: Records) -> None:
        self._records = records
        with records.reading() as backend:
            self.loaded = bool(backend.table("concept").limit(1).to_pyarrow().num_rows)
            self._version = Connection(backend).mark(VERSION)
        self._meanings: dict[Code, Meaning] = {}
        self._concepts: dict[int, bool] = {}

    def learn(self, codes: Iterable[Code], concepts: Iterable[int]) -> None:
        """Look up what isn't known yet, so that `meaning` and `has` answer."""
        if not self.loaded:
            return
        if len(self._meanings) > _REMEMBERED:
            self._meanings.clear()
        new = [code for code in dict.fromkeys(codes) if code not in self._meanings]
        numbers = [number for number in dict.fromkeys(concepts) if number and number not in self._concepts]
        if not new and not numbers:
            return
        with self._records.reading() as backend:
            concept, relation = backend.table("concept"), backend.table("concept_relationship")
            found = set[int]()
            if numbers:
                rows = concept.filter(concept.concept_id.isin(numbers)).select("concept_id")
                found = set(rows.to_pyarrow()["concept_id"].to_pylist())
            self._concepts |= {number: number in found for number in numbers}
            if not new:
                return
            wanted = concept.filter(
                concept.concept_code.isin([code.code for code in new]),
                concept.vocabulary_id.isin(sorted({code.vocabulary for code in new})),
            ).select("vocabulary_id", "concept_code", "concept_id", "standard_concept")
            own: dict[Code, tuple[int, bool]] = {}
            for row in wanted.to_pyarrow().to_pylist():
                code = Code(row["vocabulary_id"], row["concept_code"])
                own[code] = (row["concept_id"], row["standard_concept"] == "S")
            foreign = [number for number, standard in own.values() if not standard]
            maps: dict[int, int] = {}
            if foreign:
                to = relation.filter(relation.relationship_id == "Maps to", relation.concept_id_1.isin(foreign))
                to = to.join(concept.filter(concept.standard_concept == "S"), to.concept_id_2 == concept.concept_id)
                to = to.group_by("concept_id_1").agg(standard=to.concept_id_2.min())
                maps = {row["concept_id_1"]: row["standard"] for row in to.to_pyarrow().to_pylist()}
        for code in new:
            number, standard = own.get(code, (NO_CONCEPT, False))
            self._meanings[code] = Meaning(number, number if standard else maps.get(number, NO_CONCEPT))

    def check_same(self, connection: Connection) -> None:
        """Raises RecordsBusy if another vocabulary was loaded since this one was looked at."""
        if connection.mark(VERSION) != self._version:
            raise RecordsBusy("another vocabulary was loaded meanwhile; start the load again")

    def meaning(self, code: Code) -> Meaning:
        return self._meanings.get(code, Meaning())

    def has(self, concept: int) -> bool:
        """Whether a concept is known; without vocabulary tables every one is taken for known."""
        return not self.loaded or not concept or self._concepts.get(concept, False)
