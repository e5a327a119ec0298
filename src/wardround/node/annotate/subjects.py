"""The images that may be annotated: series of the enclave that may be used, as an annotation server shows them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.foundation.files import ObjectStore
from wardround.node.cohort.selection import usable
from wardround.node.enclave.case import case_digest
from wardround.node.enclave.tables import EnclaveInstance, EnclaveSeries, EnclaveStudy, EnclaveUnusable
from wardround.node.projects.queries import frozen


@dataclass(frozen=True, slots=True)
class Subject:
    """A series that may be annotated: pseudonym and new UIDs. `date` is a shifted one, as DICOM has it."""

    series: str
    study: str
    pseudonym: str
    modality: str
    date: str
    description: str


@dataclass(frozen=True, slots=True)
class Files:
    """The objects of a series: where they lie, and a digest over all of them."""

    paths: tuple[Path, ...] = field(repr=False)
    digest: str = ""


class Subjects:
    """Asked of the database each time: an opt-out or a purge counts from the next call on.

    Args:
        modalities: of which series are offered; all if empty.
        project: the id of the project whose frozen cohort is offered; everything that may be used if empty.
    """

    def __init__(
        self, database: Database, objects: ObjectStore, modalities: Collection[str] = (), project: str = ""
    ) -> None:
        self._database = database
        self._objects = objects
        self._modalities = frozenset(modalities)
        self._project = project

    def listed(self) -> Sequence[Subject]:
        """All that are offered, in the order of pseudonym, study and series."""
        with self._database.reading() as session:
            return self._read(session, self._offered())

    def count(self) -> int:
        with self._database.reading() as session:
            query = select(func.count()).select_from(EnclaveSeries).where(self._offered())
            return session.scalar(query) or 0

    def find(self, series: str) -> Subject:
        """One that is offered.

        Raises:
            NotFound: it isn't here, or may not be used.
        """
        with self._database.reading() as session:
            found = self._read(session, and_(self._offered(), EnclaveSeries.uid == series))
        if not found:
            raise NotFound("no image of this name is here")
        return found[0]

    def holds(self, series: str) -> bool:
        try:
            self.find(series)
        except NotFound:
            return False
        return True

    def files(self, series: str) -> Files:
        """The objects of a series that is offered.

        Raises:
            NotFound: see `find`.
        """
        self.find(series)
        query = (
            select(EnclaveInstance.digest)
            .where(EnclaveInstance.series_uid == series)
            .order_by(EnclaveInstance.position, EnclaveInstance.uid)
        )
        with self._database.reading() as session:
            digests = list(session.scalars(query))
        return Files(tuple(self._objects.path(digest) for digest in digests), case_digest(digests, None))

    def _offered(self) -> ColumnElement[bool]:
        conditions = [usable(), EnclaveSeries.uid.not_in(select(EnclaveUnusable.series_uid))]
        if self._modalities:
            conditions.append(EnclaveSeries.modality.in_(self._modalities))
        if self._project:
            # What was frozen is kept as JSON, so that its studies are asked for and not its series.
            conditions.append(EnclaveSeries.study_uid.in_(frozen(self._project)))
        return and_(*conditions)

    def _read(self, session: Session, condition: ColumnElement[bool]) -> list[Subject]:
        query: Any = (
            select(
                EnclaveSeries.uid,
                EnclaveSeries.study_uid,
                EnclaveSeries.pseudonym,
                EnclaveSeries.modality,
                EnclaveStudy.date,
                EnclaveSeries.description,
            )
            .join(EnclaveStudy, EnclaveStudy.uid == EnclaveSeries.study_uid)
            .where(condition)
            .order_by(EnclaveSeries.pseudonym, EnclaveSeries.study_uid, EnclaveSeries.uid)
        )
        return [
            Subject(uid, study, pseudonym, modality or "", f"{date:%Y%m%d}" if date else "", text or "")
            for uid, study, pseudonym, modality, date, text in session.execute(query)
        ]
