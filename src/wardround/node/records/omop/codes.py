"""Which code of which vocabulary a concept is, by the table `concept`."""

from __future__ import annotations

from contextlib import closing

from wardround.node.records.omop.tables import CONCEPT, File
from wardround.node.records.row import Code, Rejected
from wardround.node.records.tabular.cells import code, whole
from wardround.node.records.tabular.index import Index

_REMEMBERED = 50_000


class Codes:
    """See the module."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lately: dict[int, Code | None] = {}
        self._empty = True

    def learn(self, file: File) -> None:
        """Note every concept of a file; what can't be read there is passed over: the vocabulary's own load tells it."""
        wanted = ["concept_id", "vocabulary_id", "concept_code"]
        with closing(file.open()) as opened:
            file.check_has(opened, wanted)
            for found in opened.rows(wanted):
                if isinstance(found, Rejected):
                    continue
                said, vocabulary, text = (found[0][name].strip() for name in wanted)
                number = whole(said)
                if number is not None and code(vocabulary, text) is not None:
                    self._index.add(CONCEPT, number, f"{vocabulary}\t{text}")
                    self._empty = False

    def of(self, concept: int) -> Code | None:
        if self._empty:
            return None
        if concept not in self._lately:
            if len(self._lately) >= _REMEMBERED:
                self._lately.clear()
            said = self._index.get(CONCEPT, concept)
            self._lately[concept] = None if said is None else code(*said.split("\t"))
        return self._lately[concept]
