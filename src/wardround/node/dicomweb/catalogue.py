"""What the enclave shows to viewers: headers kept as JSON, in step with the enclave's index.

Patients who opted out and studies that still come in are left out of every answer, as they are of cohorts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.orm import Session

from wardround.dicom.damage import DAMAGE
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.node.deidentify.openness import unready
from wardround.node.dicomweb.header import INSTANCE, SERIES, STUDY, Header, Json, read_header
from wardround.node.dicomweb.tables import WebInstance, WebSeries, WebStudy
from wardround.node.enclave.tables import EnclaveInstance, EnclaveSeries, EnclaveStudy
from wardround.node.optout.queries import excluded

log = logging.getLogger(__name__)

BATCH = 200
_PATIENT_ID, _STUDY_DATE, _MODALITY = "00100020", "00080020", "00080060"
_NUMBER, _FRAMES = "00200013", "00280008"


@dataclass(frozen=True, slots=True)
class Shown:
    """An object that may be shown. `file` holds its bytes; `header` is packed (`header.unpack`)."""

    study: str
    series: str
    uid: str
    sop_class: str
    transfer_syntax: str
    frames: int
    file: Path = field(repr=False)
    header: bytes = field(repr=False)


class Catalogue:
    """The enclave as viewers see it. `catch_up` may be called at any time, from one thread at a time."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self._one_at_a_time = threading.Lock()
        self._unreadable: set[str] = set()

    def catch_up(self) -> int:
        """Read the headers of what is new in the enclave and forget what is gone; returns how many were read."""
        with self._one_at_a_time:
            self._forget()
            done = 0
            while batch := self._new():
                done += self._add(batch)
            return done

    def instances(self, study: str, series: str | None = None, instance: str | None = None) -> list[Shown]:
        """The objects of a study, a series, or one; in the order of series and instance number. Empty if none."""
        query = shown(
            select(
                WebInstance.study_uid,
                WebInstance.series_uid,
                WebInstance.uid,
                WebInstance.sop_class,
                WebInstance.transfer_syntax,
                WebInstance.frames,
                WebInstance.digest,
                WebInstance.header,
            ).where(WebInstance.study_uid == study)
        )
        if series is not None:
            query = query.where(WebInstance.series_uid == series)
        if instance is not None:
            query = query.where(WebInstance.uid == instance)
        query = query.order_by(WebInstance.series_uid, WebInstance.number, WebInstance.uid)
        with self._database.reading() as session:
            return [
                Shown(
                    study=row.study_uid,
                    series=row.series_uid,
                    uid=row.uid,
                    sop_class=row.sop_class,
                    transfer_syntax=row.transfer_syntax,
                    frames=row.frames,
                    file=self._objects.path(row.digest),
                    header=row.header,
                )
                for row in session.execute(query)
            ]

    def knows(self, study: str) -> bool:
        """Whether anything of a study is shown."""
        query = shown(select(WebInstance.uid).where(WebInstance.study_uid == study))
        with self._database.reading() as session:
            return session.scalar(query.limit(1)) is not None

    def _new(self) -> list[EnclaveInstance]:
        known = select(WebInstance.uid).where(
            WebInstance.uid == EnclaveInstance.uid, WebInstance.digest == EnclaveInstance.digest
        )
        query = select(EnclaveInstance).where(~known.exists(), EnclaveInstance.digest.not_in(self._unreadable))
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(EnclaveInstance.indexed_at).limit(BATCH)))

    def _add(self, batch: Sequence[EnclaveInstance]) -> int:
        read: list[tuple[EnclaveInstance, Header]] = []
        for instance in batch:
            try:
                read.append((instance, read_header(self._objects.path(instance.digest))))
            except DAMAGE as error:
                self._unreadable.add(instance.digest)
                log.warning("an object of the enclave can't be shown: %s", type(error).__name__)
        with self._database.writing() as session:
            studies = _studies(session, [instance.series_uid for instance, _ in read])
            for instance, header in read:
                study = studies.get(instance.series_uid)
                if study is not None:
                    _write(session, instance, study, header)
        return len(read)

    def _forget(self) -> None:
        here = select(EnclaveInstance.uid).where(
            EnclaveInstance.uid == WebInstance.uid, EnclaveInstance.digest == WebInstance.digest
        )
        with self._database.reading() as session:
            if session.scalar(select(WebInstance.uid).where(~here.exists()).limit(1)) is None:
                return
        with self._database.writing() as session:
            series = select(WebInstance.uid).where(WebInstance.series_uid == WebSeries.uid)
            study = select(WebSeries.uid).where(WebSeries.study_uid == WebStudy.uid)
            for table, left in ((WebInstance, here), (WebSeries, series), (WebStudy, study)):
                session.execute(delete(table).where(~left.exists()).execution_options(synchronize_session=False))


def shown(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """`query` over `WebInstance`, of those alone whose very object is in the enclave and may be shown."""
    return (
        query.join(
            EnclaveInstance, (EnclaveInstance.uid == WebInstance.uid) & (EnclaveInstance.digest == WebInstance.digest)
        )
        .join(EnclaveStudy, EnclaveStudy.uid == WebInstance.study_uid)
        .where(*visible())
    )


def visible() -> tuple[ColumnElement[bool], ...]:
    """What keeps a study of the enclave from view."""
    return EnclaveStudy.pseudonym.not_in(excluded()), EnclaveStudy.uid.not_in(unready())


def numbers(session: Session, by: Any, uids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Series and instances below each of `uids`, which are values of the column `by` of `WebInstance`."""
    query = shown(select(by, func.count(WebInstance.series_uid.distinct()), func.count(WebInstance.uid)))
    rows = session.execute(query.where(by.in_(uids)).group_by(by)).all()
    return {uid: (series, instances) for uid, series, instances in rows}


def _studies(session: Session, series: Sequence[str]) -> dict[str, str]:
    rows = session.execute(select(EnclaveSeries.uid, EnclaveSeries.study_uid).where(EnclaveSeries.uid.in_(series)))
    return dict(rows.all())


def _write(session: Session, instance: EnclaveInstance, study: str, header: Header) -> None:
    """Add an object, and its series and study where it is their first. The index's UIDs count, not the header's."""
    if session.get(WebStudy, study) is None:
        session.add(
            WebStudy(
                uid=study,
                patient_id=header.text(_PATIENT_ID)[:64],
                date=header.text(_STUDY_DATE)[:8],
                attributes=_level(header, STUDY),
            )
        )
    if session.get(WebSeries, instance.series_uid) is None:
        session.add(
            WebSeries(
                uid=instance.series_uid,
                study_uid=study,
                modality=header.text(_MODALITY)[:16],
                attributes=_level(header, SERIES),
            )
        )
    session.merge(
        WebInstance(
            uid=instance.uid,
            series_uid=instance.series_uid,
            study_uid=study,
            digest=instance.digest,
            sop_class=instance.sop_class,
            transfer_syntax=header.transfer_syntax,
            number=header.number(_NUMBER),
            frames=max(1, header.number(_FRAMES) or 1),
            attributes=_level(header, INSTANCE),
            header=header.pack(),
        )
    )
    session.flush()


def _level(header: Header, wanted: Sequence[str]) -> Json:
    return {tag: value for tag, value in header.part(wanted).items() if "BulkDataURI" not in value}
