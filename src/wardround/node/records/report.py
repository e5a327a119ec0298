"""What a load did: counts by table, and what was rejected, why and where."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from wardround.node.records.reasons import Reason

PLACES = 20
"""Of each reason, the places that are kept; the count is of all."""
LONGEST_PLACE = 120
"""Characters of a place that are kept."""


@dataclass
class Changes:
    """What became of the rows of one table. repeated: rows that another row of the load under the same key replaced."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    repeated: int = 0

    def plus(self, other: Changes) -> Changes:
        return Changes(
            self.added + other.added,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
            self.repeated + other.repeated,
        )


@dataclass
class Refusals:
    """How many records were rejected for one reason, and where the first of them are."""

    count: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, count: int, places: Iterable[str]) -> None:
        self.count += count
        wanted = max(0, PLACES - len(self.places))
        self.places += [place[:LONGEST_PLACE] for place in islice(places, wanted)]


@dataclass
class Report:
    """One load; holds no identifier and no value of a record.

    read: records that the source gave, or said that it can't give. unmapped: records taken in whose code the loaded
    vocabulary doesn't know, so that they are found by that code alone.
    """

    load: int = 0
    read: int = 0
    tables: dict[str, Changes] = field(default_factory=dict)
    rejected: dict[Reason, Refusals] = field(default_factory=dict)
    unmapped: int = 0

    @property
    def changes(self) -> Changes:
        total = Changes()
        for each in self.tables.values():
            total = total.plus(each)
        return total

    @property
    def rejections(self) -> int:
        return sum(each.count for each in self.rejected.values())

    def table(self, name: str) -> Changes:
        return self.tables.setdefault(name, Changes())

    def reject(self, reason: Reason, where: str) -> None:
        self.reject_many(reason, 1, [where])

    def reject_many(self, reason: Reason, count: int, places: Iterable[str]) -> None:
        self.rejected.setdefault(reason, Refusals()).add(count, places)

    def plus(self, other: Report) -> Report:
        """Both together, under the newer's number."""
        total = Report(max(self.load, other.load), self.read + other.read, unmapped=self.unmapped + other.unmapped)
        for one in (self, other):
            for name, changes in one.tables.items():
                total.tables[name] = total.table(name).plus(changes)
            for reason, refusals in one.rejected.items():
                total.reject_many(reason, refusals.count, refusals.places)
        return total

    def document(self) -> dict[str, Any]:
        return {
            "load": self.load,
            "read": self.read,
            "tables": {name: vars(changes) for name, changes in sorted(self.tables.items())},
            "rejected": {reason.value: vars(one) for reason, one in sorted(self.rejected.items())},
            "unmapped": self.unmapped,
        }

    def to_json(self) -> str:
        return json.dumps(self.document())

    @classmethod
    def from_json(cls, text: str) -> Report:
        said: Mapping[str, Any] = json.loads(text)
        return cls(
            said["load"],
            said["read"],
            {name: Changes(**changes) for name, changes in said["tables"].items()},
            {Reason(reason): Refusals(**one) for reason, one in said["rejected"].items()},
            said["unmapped"],
        )
