"""Writes de-identified objects into the enclave's index, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from wardround.dicom.statement import Deidentified, Statement
from wardround.node.base import NodeTable
from wardround.node.deidentify.openness import unready
from wardround.node.deidentify.tables import OpenStudy
from wardround.node.enclave import changes
from wardround.node.enclave.description import Description
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclavePatient, EnclaveSeries, EnclaveStudy


class IndexConflict(ValueError):
    """The object contradicts what the index holds; `reason_code` says how."""

    def __init__(self, reason_code: str) -> None:
        super().__init__(reason_code)
        self.reason_code = reason_code


class Index:
    """Collects additions and writes them together: one look-up and one insert for each table, not for each object.

    Args:
        session: the caller's transaction.
        objects: all that may be added, so that what the index holds of them is read at once.
    """

    def __init__(self, session: Session, objects: Collection[Deidentified]) -> None:
        self._session = session
        self._instances = self._known(EnclaveInstance.uid, EnclaveInstance.digest, {one.sop_uid for one in objects})
        self._series = self._known(EnclaveSeries.uid, EnclaveSeries.study_uid, {one.series_uid for one in objects})
        studies = {one.study_uid for one in objects}
        self._studies = self._known(EnclaveStudy.uid, EnclaveStudy.pseudonym, studies)
        self._statements = self._known(EnclaveStudy.uid, EnclaveStudy.statements, studies)
        self._sexes = self._known(EnclavePatient.pseudonym, EnclavePatient.sex, {one.pseudonym for one in objects})
        self._new: dict[type[NodeTable], list[dict[str, Any]]] = {}
        self._sexed: dict[str, str] = {}
        self._stated: set[str] = set()

    def add(self, one: Deidentified, description: Description, *, digest: str, size: int, at: datetime) -> bool:
        """Add an object whose `size` bytes are in the store under `digest`; False if the very object is there already.

        Raises:
            IndexConflict: its instance UID stands for other content, or its study is another patient's, or its series
                another study's. Nothing was added.
        """
        if one.sop_uid in self._instances:
            if self._instances[one.sop_uid] != digest:
                raise IndexConflict("conflicting-content")
            return False
        if self._studies.get(one.study_uid, one.pseudonym) != one.pseudonym:
            raise IndexConflict("study-of-another-patient")
        if self._series.get(one.series_uid, one.study_uid) != one.study_uid:
            raise IndexConflict("series-of-another-study")
        self._add_patient(one.pseudonym, description.sex)
        if one.study_uid not in self._studies:
            self._studies[one.study_uid] = one.pseudonym
            self._statements[one.study_uid] = []
            self._insert(
                EnclaveStudy,
                uid=one.study_uid,
                pseudonym=one.pseudonym,
                statements=[],
                date=description.study_date,
                description=description.study_description,
            )
        self._statements[one.study_uid] = _stated(self._statements[one.study_uid], one.statement)
        self._stated.add(one.study_uid)
        if one.series_uid not in self._series:
            self._series[one.series_uid] = one.study_uid
            self._insert(EnclaveSeries, **_series(one, description))
        self._instances[one.sop_uid] = digest
        self._insert(
            EnclaveInstance,
            uid=one.sop_uid,
            series_uid=one.series_uid,
            sop_class=one.sop_class_uid,
            digest=digest,
            size=size,
            position=description.position,
            indexed_at=at,
            number=description.number,
            frames=description.frames,
            rows=description.rows,
            columns=description.columns,
            bits=description.bits,
            transfer_syntax=description.transfer_syntax,
        )
        if description.labelled_series_uid is not None:
            self._insert(
                EnclaveLabel,
                uid=one.sop_uid,
                pseudonym=one.pseudonym,
                labelled_series_uid=description.labelled_series_uid,
                is_reference=description.is_reference,
            )
        return True

    def write(self) -> None:
        """Write what was added into the transaction."""
        for table in (EnclavePatient, EnclaveStudy, EnclaveSeries, EnclaveInstance, EnclaveLabel):
            rows = self._new.get(table)
            if rows:
                self._session.execute(insert(table), rows)
        if self._sexed:
            sexes = [{"pseudonym": pseudonym, "sex": sex} for pseudonym, sex in self._sexed.items()]
            self._session.execute(update(EnclavePatient), sexes)
        if self._stated:
            statements = [{"uid": uid, "statements": self._statements[uid]} for uid in sorted(self._stated)]
            self._session.execute(update(EnclaveStudy), statements)
            # Of one that was coming in before, the records say nothing until it is closed, which is noted then.
            coming = self._session.scalars(unready().where(OpenStudy.study_uid.in_(self._stated)))
            changes.note(self._session, self._stated.difference(coming))

    def _add_patient(self, pseudonym: str, sex: str | None) -> None:
        if pseudonym not in self._sexes:
            self._insert(EnclavePatient, pseudonym=pseudonym, sex=None)
            self._sexes[pseudonym] = None
        if self._sexes[pseudonym] is None and sex is not None:
            self._sexes[pseudonym] = self._sexed[pseudonym] = sex

    def _insert(self, table: type[NodeTable], **row: Any) -> None:
        self._new.setdefault(table, []).append(row)

    def _known(self, key: Any, value: Any, keys: set[str]) -> dict[str, Any]:
        rows = self._session.execute(select(key, value).where(key.in_(keys)))
        return {row[0]: row[1] for row in rows}


def _series(one: Deidentified, description: Description) -> dict[str, Any]:
    return {
        "uid": one.series_uid,
        "study_uid": one.study_uid,
        "pseudonym": one.pseudonym,
        "modality": description.modality,
        "body_part": description.body_part,
        "age": description.age,
        "manufacturer": description.manufacturer,
        "rows": description.rows,
        "columns": description.columns,
        "row_spacing": description.row_spacing,
        "column_spacing": description.column_spacing,
        "thickness": description.thickness,
        "number": description.series_number,
        "description": description.series_description,
        "model": description.model,
        "date": description.series_date or description.study_date,
        "field_strength": description.field_strength,
        "contrast": description.contrast,
        "image_type": description.image_type,
        "laterality": description.laterality,
        "view_position": description.view_position,
        "sop_class": one.sop_class_uid[:64],
        "photometric": description.photometric,
        "transfer_syntax": description.transfer_syntax,
    }


def _stated(statements: list[dict[str, Any]], one: Statement) -> list[dict[str, Any]]:
    """The study's statements with one object more: objects and actions are summed per profile and software."""
    same = {
        "profile": one.profile,
        "profile_name": one.profile_name,
        "profile_digest": one.profile_digest,
        "options": list(one.options),
        "edition": one.edition,
        "software": one.software,
    }
    updated = [entry for entry in statements if any(entry.get(key) != value for key, value in same.items())]
    before = [entry for entry in statements if entry not in updated]
    counts: Counter[str] = Counter(before[0]["counts"] if before else {})
    counts.update(one.counts)
    objects = before[0]["objects"] + 1 if before else 1
    return [*updated, same | {"objects": objects, "counts": dict(counts)}]
