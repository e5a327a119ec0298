"""The enclave's images in the health records: `image_occurrence`, and the persons whom images tell of.

The enclave notes which studies changed (`wardround.node.enclave.changes`); `Images.tick` puts each of them in the
records as it is now. A study that is still coming in isn't there, as for every question over the enclave; nor is a
series of labels, which is told of as `has_label` of the series that it was drawn on. What people of images look like is
said with the least weight of all: what any source of records says goes before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.foundation.database import Database
from wardround.node.cohort.selection import is_image, whole_labels
from wardround.node.deidentify.openness import unready
from wardround.node.enclave.changes import changed, followed
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclavePatient, EnclaveSeries, EnclaveStudy
from wardround.node.records.keys import RecordKeys
from wardround.node.records.persons import DERIVED, rebuild
from wardround.node.records.schema import FEMALE, MALE, NO_CONCEPT, OTHER_SEX, TABLES, Column, Type, clustered
from wardround.node.records.staging import staging_in
from wardround.node.records.store import STATEMENTS, Connection, Records

AT_ONCE = 5000
"""Changes that are followed in one transaction."""
OLDEST_TOLD = 89
"""Whole years from which on an age stands for all that are higher (PS3.15 leaves it to profiles; HIPAA has 90)."""
_CHUNK = 400
_SEXES = {"F": FEMALE, "M": MALE, "O": OTHER_SEX}
_IMAGES = TABLES["image_occurrence"]
_IMAGE_COLUMNS = tuple(column for column in _IMAGES.columns if column.kept)
_WORDS = TABLES["person_word"].columns
_STAGED: Mapping[str, Sequence[Column]] = MappingProxyType(
    {
        "these_studies": (Column("study_uid", Type.TEXT, required=True),),
        "these_images": _IMAGE_COLUMNS,
        "these_said": STATEMENTS.columns,
        "these_words": _WORDS,
    }
)
_OF_IMAGES: Mapping[str, object] = MappingProxyType(
    {
        "origin": DERIVED,
        "load_id": DERIVED,
        "stated": True,
        "race_concept_id": NO_CONCEPT,
        "ethnicity_concept_id": NO_CONCEPT,
    }
)
T = TypeVar("T")


class Images:
    """Keeps the images of the records in step with the enclave."""

    def __init__(self, database: Database, records: Records, keys: RecordKeys) -> None:
        self._database = database
        self._records = records
        self._keys = keys

    def tick(self) -> int:
        """Follow what changed in the enclave; returns how many studies were looked at.

        A crash at any moment leaves changes to be followed once more, which comes to the same.

        Raises:
            RecordsBusy: others read or write for too long; it is tried again at the next tick.
        """
        done = 0
        while True:
            with self._database.reading() as session:
                if not changed(session, 1):
                    return done
            numbers, studies = self._follow()
            with self._database.writing() as session:
                followed(session, numbers)
            done += studies

    def _follow(self) -> tuple[list[int], int]:
        with self._records.writing() as connection, self._database.reading() as session:
            noted = changed(session, AT_ONCE)
            studies = {uid for _, uid in noted}
            studies |= set(self._labelled(session, studies))
            before = _people_of(connection, studies)
            series = [row for part in _parts(sorted(studies)) for row in self._series(session, part)]
            pseudonyms = {*before, *(row["pseudonym"] for row in series)}
            said = [row for part in _parts(sorted(pseudonyms)) for row in self._said(session, part)]
            self._put(connection, studies, series, said)
        return [number for number, _ in noted], len(studies)

    @staticmethod
    def _labelled(session: Session, studies: Collection[str]) -> Iterator[str]:
        """The studies of the series that labels of these studies were drawn on."""
        for part in _parts(sorted(studies)):
            labels = (
                select(EnclaveLabel.labelled_series_uid)
                .join(EnclaveInstance, EnclaveInstance.uid == EnclaveLabel.uid)
                .join(EnclaveSeries, EnclaveSeries.uid == EnclaveInstance.series_uid)
                .where(EnclaveSeries.study_uid.in_(part))
            )
            yield from session.scalars(select(EnclaveSeries.study_uid).where(EnclaveSeries.uid.in_(labels)).distinct())

    def _series(self, session: Session, studies: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Rows of `image_occurrence`, with the pseudonym beside them."""
        rows = session.execute(
            select(EnclaveSeries, EnclaveStudy.date)
            .join(EnclaveStudy, EnclaveStudy.uid == EnclaveSeries.study_uid)
            .where(EnclaveSeries.study_uid.in_(studies), EnclaveSeries.study_uid.not_in(unready()), is_image())
        ).all()
        labels = set[tuple[str, str]]()
        for part in _parts([series.uid for series, _ in rows]):
            drawn = select(EnclaveLabel.labelled_series_uid, EnclaveLabel.pseudonym).where(
                EnclaveLabel.labelled_series_uid.in_(part),
                EnclaveLabel.is_reference,
                EnclaveLabel.uid.in_(whole_labels()),
            )
            labels |= {(uid, pseudonym) for uid, pseudonym in session.execute(drawn)}
        for series, day in rows:
            yield {
                "pseudonym": series.pseudonym,
                "image_occurrence_id": self._keys.record("", _IMAGES.name, series.uid),
                "person_id": self._keys.person(series.pseudonym),
                "wadors_uri": f"studies/{series.study_uid}/series/{series.uid}",
                "image_occurrence_date": series.date or day,
                "image_study_uid": series.study_uid,
                "image_series_uid": series.uid,
                "modality_concept_id": NO_CONCEPT,
                "modality": series.modality,
                "body_part": series.body_part,
                "description": series.description,
                "manufacturer": series.manufacturer,
                "slice_thickness_mm": series.thickness,
                "has_label": (series.uid, series.pseudonym) in labels,
                "age_years": series.age,
            }

    def _said(self, session: Session, pseudonyms: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What images say of their persons: rows of `person_statement`."""
        known = select(EnclavePatient.pseudonym, EnclavePatient.sex).where(EnclavePatient.pseudonym.in_(pseudonyms))
        sexes = dict(session.execute(known).all())
        years: dict[str, int] = {}
        seen: set[str] = set()
        rows = session.execute(
            select(EnclaveSeries.pseudonym, EnclaveSeries.age, EnclaveSeries.date, EnclaveStudy.date)
            .join(EnclaveStudy, EnclaveStudy.uid == EnclaveSeries.study_uid)
            .where(EnclaveSeries.pseudonym.in_(pseudonyms), EnclaveSeries.study_uid.not_in(unready()), is_image())
            .order_by(EnclaveSeries.date, EnclaveSeries.uid)
        )
        for pseudonym, age, own, of_study in rows:
            seen.add(pseudonym)
            day = own or of_study
            if pseudonym not in years and age is not None and age < OLDEST_TOLD and day is not None:
                years[pseudonym] = _born(day, age)
        for pseudonym in sorted(seen):
            yield {
                "person_id": self._keys.person(pseudonym),
                "person_source_value": pseudonym,
                "gender_concept_id": _SEXES.get(sexes.get(pseudonym) or "", NO_CONCEPT),
                "year_of_birth": years.get(pseudonym),
                "word": self._keys.word(pseudonym),
            }

    def _put(
        self,
        connection: Connection,
        studies: Iterable[str],
        series: Iterable[Mapping[str, object]],
        said: Iterable[Mapping[str, object]],
    ) -> None:
        with staging_in(self._records.staging) as staging:
            for name, columns in _STAGED.items():
                staging.declare(name, columns)
            for uid in studies:
                staging.add("these_studies", {"study_uid": uid})
            for row in series:
                staging.add("these_images", _whole(_IMAGE_COLUMNS, row))
            for row in said:
                staging.add("these_said", _whole(STATEMENTS.columns, {**_OF_IMAGES, **row}))
                staging.add("these_words", _whole(_WORDS, row))
            staging.finish()
            for name, columns in _STAGED.items():
                connection.stage(name, columns, staging.files(name))
        _apply(connection)


def _apply(connection: Connection) -> None:
    run = connection.run
    run(
        "CREATE TEMPORARY TABLE affected AS SELECT person_id FROM these_said UNION SELECT person_id "
        "FROM image_occurrence WHERE image_study_uid IN (SELECT study_uid FROM these_studies)"
    )
    run("DELETE FROM image_occurrence WHERE image_study_uid IN (SELECT study_uid FROM these_studies)")
    images = ", ".join(column.name for column in _IMAGE_COLUMNS)
    order = clustered(_IMAGES)
    run(f"INSERT INTO image_occurrence ({images}) SELECT {images} FROM these_images{order}")  # noqa: S608 - our names
    run(
        f"DELETE FROM person_statement WHERE origin = {DERIVED} "  # noqa: S608 - our names
        "AND person_id IN (SELECT person_id FROM affected)"
    )
    columns = ", ".join(column.name for column in STATEMENTS.columns)
    run(f"INSERT INTO person_statement ({columns}) SELECT {columns} FROM these_said")  # noqa: S608 - our names
    run(
        "INSERT INTO person_word (person_id, word) SELECT person_id, word FROM these_words "
        "WHERE NOT EXISTS (SELECT 1 FROM person_word AS known WHERE known.person_id = these_words.person_id)"
    )
    rebuild(connection, "affected")


def _people_of(connection: Connection, studies: Collection[str]) -> set[str]:
    """Each person of whom the records have images of these studies."""
    people = set[str]()
    for part in _parts(sorted(studies)):
        marks = ", ".join("?" for _ in part)
        found = connection.rows(
            "SELECT DISTINCT p.person_source_value FROM image_occurrence i "  # noqa: S608 - parameters
            f"JOIN person p ON p.person_id = i.person_id WHERE i.image_study_uid IN ({marks})",
            part,
        )
        people |= {pseudonym for (pseudonym,) in found}
    return people


def _born(day: date, age: int) -> int:
    """The likeliest year of birth of who was `age` on `day`."""
    return (day - timedelta(days=round((age + 0.5) * 365.25))).year


def _whole(columns: Sequence[Column], row: Mapping[str, object]) -> dict[str, object]:
    return {column.name: row.get(column.name) for column in columns}


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
