"""Writes de-identified objects into the enclave's index, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from wardround.dicom.statement import Deidentified, Statement
from wardround.node.enclave.description import Description
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclavePatient, EnclaveSeries, EnclaveStudy


class IndexConflict(ValueError):
    """The object contradicts what the index holds; `reason_code` says how."""

    def __init__(self, reason_code: str) -> None:
        super().__init__(reason_code)
        self.reason_code = reason_code


def add(
    session: Session, one: Deidentified, description: Description, *, digest: str, size: int, at: datetime
) -> bool:
    """Add an object whose `size` bytes are in the store under `digest`; False if the very object is there already.

    Raises:
        IndexConflict: its instance UID stands for other content, or its study is another
            patient's, or its series another study's. Nothing was added.
    """
    known = session.get(EnclaveInstance, one.sop_uid)
    if known is not None:
        if known.digest != digest or known.series_uid != one.series_uid:
            raise IndexConflict("conflicting-content")
        return False
    patient = session.get(EnclavePatient, one.pseudonym)
    study = session.get(EnclaveStudy, one.study_uid)
    series = session.get(EnclaveSeries, one.series_uid)
    if study is not None and study.pseudonym != one.pseudonym:
        raise IndexConflict("study-of-another-patient")
    if series is not None and series.study_uid != one.study_uid:
        raise IndexConflict("series-of-another-study")
    if patient is None:
        patient = EnclavePatient(pseudonym=one.pseudonym, sex=description.sex)
        session.add(patient)
        session.flush()
    elif patient.sex is None:
        patient.sex = description.sex
    if study is None:
        study = EnclaveStudy(uid=one.study_uid, pseudonym=one.pseudonym, statements=[])
        session.add(study)
        session.flush()
    study.statements = _stated(study.statements, one.statement)
    if series is None:
        session.add(_series(one, description))
        session.flush()
    session.add(
        EnclaveInstance(
            uid=one.sop_uid,
            series_uid=one.series_uid,
            sop_class=one.sop_class_uid,
            digest=digest,
            size=size,
            position=description.position,
            indexed_at=at,
        )
    )
    session.flush()
    if description.labelled_series_uid is not None:
        session.add(
            EnclaveLabel(
                uid=one.sop_uid,
                pseudonym=one.pseudonym,
                labelled_series_uid=description.labelled_series_uid,
                is_reference=description.is_reference,
            )
        )
        session.flush()
    return True


def _series(one: Deidentified, description: Description) -> EnclaveSeries:
    return EnclaveSeries(
        uid=one.series_uid,
        study_uid=one.study_uid,
        pseudonym=one.pseudonym,
        modality=description.modality,
        body_part=description.body_part,
        age=description.age,
        manufacturer=description.manufacturer,
        rows=description.rows,
        columns=description.columns,
        row_spacing=description.row_spacing,
        column_spacing=description.column_spacing,
        thickness=description.thickness,
    )


def _stated(statements: list[dict[str, Any]], one: Statement) -> list[dict[str, Any]]:
    """The study's statements with one object more: objects and actions are summed per profile and software."""
    same = {"profile": one.profile, "options": list(one.options), "edition": one.edition, "software": one.software}
    updated = [entry for entry in statements if any(entry[key] != value for key, value in same.items())]
    before = [entry for entry in statements if entry not in updated]
    counts: Counter[str] = Counter(before[0]["counts"] if before else {})
    counts.update(one.counts)
    objects = before[0]["objects"] + 1 if before else 1
    return [*updated, same | {"objects": objects, "counts": dict(counts)}]
