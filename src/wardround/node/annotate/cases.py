"""Cases as people who share them read them: who has each, who drew it, and how far it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from wardround.foundation.database import Database
from wardround.node.annotate.sittings import held
from wardround.node.annotate.states import LabelState
from wardround.node.annotate.subjects import Subject
from wardround.node.annotate.tables import AnnotationLabel, AnnotationSitting
from wardround.node.annotate.told import labels_of


class CaseState(StrEnum):
    """How far a case is, in the words that pages have for it."""

    FREE = "not drawn yet"
    HELD = "with somebody"
    PARTLY = "drawn by some"
    WAITING = "waits for a decision"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Case:
    """A case with all labels that were saved of it, by version, and the sittings over it that go on.

    Args:
        readers: how many people are to draw it.
    """

    subject: Subject
    labels: tuple[AnnotationLabel, ...]
    sittings: tuple[AnnotationSitting, ...]
    readers: int

    @property
    def state(self) -> CaseState:
        standing = self.standing
        if any(row.state == LabelState.ACCEPTED for row in standing):
            return CaseState.ACCEPTED
        if self.sittings:
            return CaseState.HELD
        if not standing:
            return CaseState.FREE
        return CaseState.WAITING if len({row.author for row in standing}) >= self.readers else CaseState.PARTLY

    @property
    def standing(self) -> tuple[AnnotationLabel, ...]:
        """The labels that weren't rejected."""
        return tuple(row for row in self.labels if row.state != LabelState.REJECTED)

    def is_with(self, actor: str) -> bool:
        """Whether they have it before them."""
        return any(row.person == actor for row in self.sittings)


def cases_of(database: Database, subjects: Sequence[Subject], readers: int, at: datetime) -> Sequence[Case]:
    """The cases in the order of `subjects`; `readers`: how many people are to draw each."""
    labels: dict[str, list[AnnotationLabel]] = defaultdict(list)
    # A queue may hold more series than a database takes names of.
    for row in labels_of(database, [subjects[0].series] if len(subjects) == 1 else None):
        labels[row.series].append(row)
    sittings: dict[str, list[AnnotationSitting]] = defaultdict(list)
    with database.reading() as session:
        for sitting in held(session, at):
            sittings[sitting.series].append(sitting)
    return [Case(one, tuple(labels[one.series]), tuple(sittings[one.series]), readers) for one in subjects]
