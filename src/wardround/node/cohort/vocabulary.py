"""Which concepts a code set names at this node, by its vocabulary tables; without them, the codes as they are given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

from ibis.backends import BaseBackend
from ibis.expr.types import Table

from wardround.contracts.cohort_tree import CodeSet
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort.meaning import MAPS_TO
from wardround.node.cohort.relation import answered, listed, relation
from wardround.node.records.store import Connection
from wardround.node.records.vocabulary import VERSION

FEW = 2000
"""So many concepts are written into a query; of more, the query looks them up."""
_HANDFUL = 12
_REMEMBERED = 500
Remembered = dict[tuple[str | None, CodeSet], tuple[tuple[int, ...], tuple[int, ...]]]
"""Concepts and sources that a code set names in one version of the vocabulary. Without a version, which every loaded
vocabulary has, nothing is remembered."""


@dataclass(frozen=True, slots=True)
class Named:
    """concepts: what a record may have as its concept; of very many, `below` is a column that holds them all.
    sources: what it may have as the concept of its own code."""

    concepts: tuple[int, ...]
    sources: tuple[int, ...]
    below: Any = None


class Vocabulary:
    """The vocabulary tables of a records store."""

    def __init__(self, backend: BaseBackend, remembered: Remembered | None = None, *, few: int = FEW) -> None:
        self._backend = backend
        self._remembered = Remembered() if remembered is None else remembered
        self._version = None if remembered is None else Connection(backend).mark(VERSION)
        self._few = few
        self._listed = 0

    def named(self, codes: CodeSet, path: str) -> Named:
        """What the code set at `path` of a question names.

        Raises:
            NotAllowed: there is a vocabulary here, and one of its concepts or codes isn't in it (`unknown-concept`).
        """
        key = (self._version, codes)
        if self._version is not None and (known := self._remembered.get(key)) is not None:
            return self._looked_up(*known)
        named = self._found(codes, path)
        if self._version is not None and named.below is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = (named.concepts, named.sources)
        return named if named.below is not None else self._looked_up(named.concepts, named.sources)

    def _found(self, codes: CodeSet, path: str) -> Named:
        own = self._known(codes, path)
        own |= set(codes.concepts)
        named = tuple(sorted(own | self._mapped(own)))
        if not codes.descendants or not named:
            return Named(concepts=named, sources=named)
        ancestor = relation(self._backend, "concept_ancestor")
        below = ancestor.filter(ancestor.ancestor_concept_id.isin(named)).descendant_concept_id
        found = self._column(below.as_table().distinct().limit(self._few + 1))
        if len(found) > self._few:
            return Named(concepts=named, sources=named, below=below)
        return Named(concepts=tuple(sorted({*named, *found})), sources=named)

    def _looked_up(self, concepts: tuple[int, ...], sources: tuple[int, ...]) -> Named:
        """DuckDB reads the other columns of the blocks that it tests an `IN` of more than a handful of literals on;
        of those that it looks up in a relation, it reads only where one was found."""
        if self._backend.name != "duckdb" or len(concepts) <= _HANDFUL:
            return Named(concepts=concepts, sources=sources)
        self._listed += 1
        name = f"concept_{self._listed}"
        return Named(concepts=concepts, sources=sources, below=listed(self._backend, name, concepts)[name])

    def _known(self, codes: CodeSet, path: str) -> set[int]:
        concept = relation(self._backend, "concept")
        tests = [concept.concept_id.isin(codes.concepts)] if codes.concepts else []
        for vocabulary in sorted({one.vocabulary for one in codes.codes}):
            texts = [one.code for one in codes.codes if one.vocabulary == vocabulary]
            tests.append((concept.vocabulary_id == vocabulary) & concept.concept_code.isin(texts))
        test = reduce(lambda left, right: left | right, tests)
        columns = ("concept_id", "vocabulary_id", "concept_code")
        found = answered(self._backend, concept.filter(test).select(*columns))
        have = {number for number, _, _ in found}
        texts_had = {(vocabulary, code) for _, vocabulary, code in found}
        missing = [f"OMOP {number}" for number in codes.concepts if number not in have] if self._is_loaded() else []
        lacking = [one for one in codes.codes if (one.vocabulary, one.code) not in texts_had]
        if lacking:
            there = self._vocabularies(sorted({one.vocabulary for one in lacking}))
            missing += [f"{one.vocabulary} {one.code}" for one in lacking if one.vocabulary in there]
        if missing:
            raise NotAllowed(
                f"{path}: {', '.join(missing[:5])} isn't in the vocabulary of this node; correct the code, or load the "
                "vocabulary's newer edition with `wardround node records load`",
                code="unknown-concept",
            )
        return have

    def _mapped(self, own: set[int]) -> set[int]:
        if not own:
            return set()
        related = relation(self._backend, "concept_relationship")
        pairs = related.filter(related.concept_id_1.isin(sorted(own)), related.relationship_id == MAPS_TO)
        return set(self._column(pairs.select("concept_id_2")))

    def _is_loaded(self) -> bool:
        concept = relation(self._backend, "concept")
        return bool(self._column(concept.select("concept_id").limit(1)))

    def _vocabularies(self, names: list[str]) -> set[str]:
        """Those of `names` of which this node has any concept."""
        concept = relation(self._backend, "concept")
        there = concept.filter(concept.vocabulary_id.isin(names)).select("vocabulary_id").distinct()
        return set(self._column(there))

    def _column(self, rows: Table) -> list[Any]:
        return [value for (value,) in answered(self._backend, rows)]
