"""What of the front door's objects is to be de-identified next: objects as they came, or whole series of slices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Row, Select, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from wardround.dicom.pixels_rules import ScreeningReason
from wardround.foundation.database import Database
from wardround.node.deidentify.work import FACE, LATE, Job, SeriesJob
from wardround.node.receive.route import StudyPath
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy
from wardround.node.review.queries import unpacked
from wardround.node.review.state import ReviewState
from wardround.node.review.tables import PixelReview

SLICES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "")
"""CT and MR Image Storage, of which a face is removed by series; and rows from before the class was kept."""
_DECIDED = frozenset({ReviewState.APPROVED.value, ReviewState.REDACTED.value})


@dataclass(frozen=True, slots=True)
class Item:
    """One object's row, its study's, and its file in quarantine."""

    id: int
    study: int | None
    file: str


@dataclass(frozen=True, slots=True)
class Task:
    """A job, and the objects that it is about."""

    job: Job | SeriesJob
    items: tuple[Item, ...]


class Backlog:
    """What is to be done. For one thread.

    Args:
        whole_series: CT and MR slices are given by series, each once its study is complete and nothing of it waits
            for a person.
    """

    def __init__(self, database: Database, *, whole_series: bool = False) -> None:
        self._database = database
        self._whole_series = whole_series
        self.restart()

    def restart(self) -> None:
        """Begin anew: what was given and came to no end is given again."""
        self._last = 0
        self._begun: set[tuple[int | None, str]] = set()

    def reopen(self, moment: datetime) -> int:
        """Take series up again of which no volume could be made, now that more of them is here; how many objects."""
        if not self._whole_series:
            return 0
        wanted = select(ReceivedInstance.id).where(*_may_be_mended())
        with self._database.reading() as session:
            if session.scalar(wanted.limit(1)) is None:
                return 0
        check_step(State.REFUSED, State.RECEIVED)
        with self._database.writing() as session:
            again = list(session.scalars(wanted))
            session.execute(
                update(ReceivedInstance),
                [
                    {"id": number, "state": State.RECEIVED.value, "reason": None, "changed_at": moment}
                    for number in again
                ],
            )
            return len(again)

    def next(self, most: int) -> list[Task]:
        """The next tasks, of `most` objects, or one whole series that has more; what was given isn't given again."""
        with self._database.reading() as session:
            tasks = self._objects(session, most)
            if self._whole_series and len(tasks) < most:
                tasks += self._series(session, most - len(tasks))
            return tasks

    def left(self) -> int:
        with self._database.reading() as session:
            return session.scalar(select(func.count()).select_from(ReceivedInstance).where(*_to_do())) or 0

    def _objects(self, session: Session, most: int) -> list[Task]:
        query = _rows().where(ReceivedInstance.id > self._last).order_by(ReceivedInstance.id).limit(most)
        if self._whole_series:
            query = query.where(ReceivedInstance.sop_class.not_in(SLICES))
        tasks = [Task(job, (item,)) for item, job in map(_read, session.execute(query))]
        self._last = max([self._last, *(task.job.id for task in tasks)])
        return tasks

    def _series(self, session: Session, most: int) -> list[Task]:
        tasks: list[Task] = []
        given = 0
        for study, series, late in session.execute(_ready_series()):
            if (study, series) in self._begun:
                continue
            self._begun.add((study, series))
            query = _rows().where(
                ReceivedInstance.study_id == study,
                ReceivedInstance.series_key == series,
                ReceivedInstance.sop_class.in_(SLICES),
            )
            task = _together(map(_read, session.execute(query.order_by(ReceivedInstance.id))), late=bool(late))
            tasks.append(task)
            given += len(task.items)
            if given >= most:
                break
        return tasks


def _together(read: Iterable[tuple[Item, Job]], *, late: bool) -> Task:
    pairs = list(read)
    jobs = tuple(job for _, job in pairs)
    return Task(SeriesJob(jobs[0].id, jobs, late), tuple(item for item, _ in pairs))


def _may_be_mended() -> tuple[ColumnElement[bool], ...]:
    """Slices that were refused for their series' sake, which has got others since."""
    new = aliased(ReceivedInstance)
    got = exists().where(
        new.study_id == ReceivedInstance.study_id,
        new.series_key == ReceivedInstance.series_key,
        new.path == StudyPath.RESEARCH.value,
        new.state == State.RECEIVED.value,
        new.sop_class.in_(SLICES),
    )
    return (
        ReceivedInstance.path == StudyPath.RESEARCH.value,
        ReceivedInstance.state == State.REFUSED.value,
        ReceivedInstance.reason.startswith(FACE, autoescape=True),
        ReceivedInstance.reason != LATE,
        ReceivedInstance.sop_class.in_(SLICES),
        ReceivedInstance.file.is_not(None),
        got,
    )


def _ready_series() -> Select[int | None, str, bool]:
    """Series of complete studies of which slices are to be done and nothing waits for a person; the last column says
    whether some of the series were done before."""
    other = aliased(ReceivedInstance)
    same = (other.study_id == ReceivedInstance.study_id, other.series_key == ReceivedInstance.series_key)
    waits = exists().where(*same, other.state == State.REVIEW.value)
    done = exists().where(*same, other.state == State.DEIDENTIFIED.value, other.sop_class.in_(SLICES))
    return (
        select(ReceivedInstance.study_id, ReceivedInstance.series_key, done)
        .join(ReceivedStudy, ReceivedStudy.id == ReceivedInstance.study_id)
        .where(*_to_do(), ReceivedInstance.sop_class.in_(SLICES), ReceivedStudy.completed_at.is_not(None), ~waits)
        .distinct()
        .order_by(ReceivedInstance.study_id, ReceivedInstance.series_key)
    )


def _rows() -> Select[int, int | None, str | None, str, list[list[int | None]], list[str]]:
    return (
        select(
            ReceivedInstance.id,
            ReceivedInstance.study_id,
            ReceivedInstance.file,
            PixelReview.state,
            PixelReview.blackened,
            PixelReview.reasons,
        )
        .outerjoin(PixelReview, PixelReview.digest == ReceivedInstance.digest)
        .where(*_to_do())
    )


def _read(
    row: Row[int, int | None, str | None, str, list[list[int | None]], list[str]],
) -> tuple[Item, Job]:
    id_, study, file, state, boxes, reasons = row
    decided = state in _DECIDED
    blackened = tuple(unpacked(list(box)) for box in boxes) if decided else None
    faceless = decided and ScreeningReason.FACE_UNCLEAR.value in reasons
    return Item(id_, study, file or ""), Job(id_, file or "", blackened, faceless)


def _to_do() -> tuple[ColumnElement[bool], ...]:
    return (ReceivedInstance.path == StudyPath.RESEARCH.value, ReceivedInstance.state == State.RECEIVED.value)
