"""What the front door and the clinical path hold of one person: rows, files and results, found and removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from wardround.dicom.deidentify_original import Original
from wardround.dicom.errors import Refused
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore, flush_directory
from wardround.node.clinic.tables import WorklistAnswer, WorklistLine
from wardround.node.deidentify.erasable import Person
from wardround.node.deidentify.subject import patient_ids
from wardround.node.deidentify.wanted import Wanted
from wardround.node.receive.route import StudyPath
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy
from wardround.node.report.tables import Output
from wardround.node.review.tables import PixelReview
from wardround.node.workitems.tables import Workitem, WorkitemReport, WorkitemSubscription

_AT_ONCE = 400
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node's data lie. `labels`: what was drawn here and isn't the enclave's, where anything was."""

    quarantine: Path
    clinical: Path
    results: Path
    objects: ObjectStore
    volumes: Path
    labels: ObjectStore | None = None


class Received:
    """What came in from the PACS and is still at the front door or on the clinical path.

    `research_only`: leave the clinical path alone.
    """

    def __init__(self, database: Database, places: Places) -> None:
        self._database = database
        self._places = places

    def of_studies(self, session: Session, studies: set[str], research_only: bool) -> Iterator[int]:
        """The rows of the instances of those studies, by their keys."""
        for part in _parts(sorted(studies)):
            query = select(ReceivedInstance.id).join(ReceivedStudy, ReceivedStudy.id == ReceivedInstance.study_id)
            query = query.where(ReceivedStudy.study_key.in_(part))
            if research_only:
                query = query.where(ReceivedInstance.path != StudyPath.CLINIC.value)
            yield from session.scalars(query)

    def by_file(self, session: Session, wanted: Wanted, known: set[int], research_only: bool) -> Iterator[int]:
        """Instances on the disk whose own header names the patient, by any of its ids."""
        query = select(ReceivedInstance).where(ReceivedInstance.file.is_not(None))
        for instance in session.scalars(query.execution_options(yield_per=_AT_ONCE)):
            if instance.id in known or (research_only and instance.path == StudyPath.CLINIC.value):
                continue
            try:
                elements = Original.read((self._root(instance) / str(instance.file)).read_bytes()).by_tag()
            except (OSError, Refused):
                # Unreadable, or gone meanwhile: nothing says that it is this person's.
                continue
            if wanted.has(patient_ids(elements)):
                yield instance.id

    def keys(self, session: Session, rows: Sequence[int]) -> set[str]:
        """The keys of the instances with those rows."""
        query = select(ReceivedInstance.instance_key)
        return {key for part in _parts(rows) for key in session.scalars(query.where(ReceivedInstance.id.in_(part)))}

    def counted(self, session: Session, person: Person, research_only: bool) -> Counter[str]:
        """How many files, rows and results there are of a person."""
        counts: Counter[str] = Counter()
        for part in _parts(person.instances):
            by_path = select(ReceivedInstance.path, func.count(), func.count(ReceivedInstance.file))
            for path, rows, files in session.execute(
                by_path.where(ReceivedInstance.id.in_(part)).group_by(ReceivedInstance.path)
            ):
                clinic = path == StudyPath.CLINIC.value
                counts["clinical files" if clinic else "quarantined files"] += files
                counts["received instances"] += rows
        if not research_only:
            counts["results"] = len(list(_results(session, set(person.studies))))
        return counts

    def erase(self, person: Person, research_only: bool) -> None:
        """Delete the files, then the rows: rows first would leave files that nothing names until a restart."""
        studies = set(person.studies)
        with self._database.reading() as session:
            ids = sorted({*person.instances, *self.of_studies(session, studies, research_only)})
            results = list(_results(session, studies)) if not research_only else []
        touched: set[Path] = set()
        for part in _parts(ids):
            with self._database.writing() as session:
                rows = list(session.scalars(select(ReceivedInstance).where(ReceivedInstance.id.in_(part))))
                for instance in rows:
                    if instance.file is not None:
                        file = self._root(instance) / instance.file
                        file.unlink(missing_ok=True)
                        touched.add(file.parent)
                session.execute(delete(PixelReview).where(PixelReview.instance_id.in_(part)))
                session.execute(delete(ReceivedInstance).where(ReceivedInstance.id.in_(part)))
        for name in results:
            (self._places.results / name).unlink(missing_ok=True)
            touched.add(self._places.results)
        with self._database.writing() as session:
            if not research_only:
                lines = select(WorklistLine.id).where(WorklistLine.study.in_(studies))
                tasks = select(Workitem.uid).where(Workitem.study.in_(studies))
                for told in (WorkitemReport, WorkitemSubscription):
                    session.execute(delete(told).where(told.workitem.in_(tasks)))
                session.execute(delete(Workitem).where(Workitem.study.in_(studies)))
                session.execute(delete(Output).where(Output.line.in_(lines)))
                session.execute(delete(WorklistAnswer).where(WorklistAnswer.line.in_(lines)))
                session.execute(delete(WorklistLine).where(WorklistLine.study.in_(studies)))
            left = select(ReceivedInstance.study_id).where(ReceivedInstance.study_id.is_not(None))
            session.execute(
                delete(ReceivedStudy).where(ReceivedStudy.study_key.in_(studies), ReceivedStudy.id.not_in(left))
            )
        for directory in touched:
            if directory.is_dir():
                flush_directory(directory)

    def _root(self, instance: ReceivedInstance) -> Path:
        return self._places.clinical if instance.path == StudyPath.CLINIC.value else self._places.quarantine


def _results(session: Session, studies: set[str]) -> Iterator[str]:
    for part in _parts(sorted(studies)):
        lines = select(WorklistLine.result).where(WorklistLine.study.in_(part))
        outputs = select(Output.file).join(WorklistLine, WorklistLine.id == Output.line)
        drawn = select(WorklistAnswer.outline).join(WorklistLine, WorklistLine.id == WorklistAnswer.line)
        files = {*session.scalars(lines)}
        for query in (outputs, drawn):
            files.update(session.scalars(query.where(WorklistLine.study.in_(part))))
        yield from sorted(name for name in files if name is not None)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
