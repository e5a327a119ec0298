"""The enclave's index. Every value comes out of a de-identified object; UIDs are the new ones."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class EnclavePatient(NodeTable):
    __tablename__ = "enclave_patients"

    pseudonym: Mapped[str] = mapped_column(String(64), primary_key=True)
    sex: Mapped[str | None] = mapped_column(String(1))


class EnclaveStudy(NodeTable):
    """A study, with how its objects were de-identified: one entry per profile and software version."""

    __tablename__ = "enclave_studies"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(ForeignKey("enclave_patients.pseudonym"), index=True)
    statements: Mapped[list[dict[str, Any]]] = mapped_column(JSON)


class EnclaveSeries(NodeTable):
    """A series. Lengths in millimetres; `age` in whole years at the study; a label is a series of its own too."""

    __tablename__ = "enclave_series"
    __table_args__ = (Index("ix_enclave_series_kind", "modality", "body_part"),)

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_uid: Mapped[str] = mapped_column(ForeignKey("enclave_studies.uid"), index=True)
    pseudonym: Mapped[str] = mapped_column(ForeignKey("enclave_patients.pseudonym"), index=True)
    modality: Mapped[str | None] = mapped_column(String(16))
    body_part: Mapped[str | None] = mapped_column(String(16))
    age: Mapped[int | None]
    manufacturer: Mapped[str | None] = mapped_column(String(64))
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    row_spacing: Mapped[float | None] = mapped_column(Float)
    column_spacing: Mapped[float | None] = mapped_column(Float)
    thickness: Mapped[float | None] = mapped_column(Float)


class EnclaveInstance(NodeTable):
    """An object in the store. `position` is its distance along the slice normal, in millimetres."""

    __tablename__ = "enclave_instances"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    series_uid: Mapped[str] = mapped_column(ForeignKey("enclave_series.uid"), index=True)
    sop_class: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[float | None] = mapped_column(Float)
    indexed_at: Mapped[datetime] = mapped_column(UtcTime)


class EnclaveLabel(NodeTable):
    """A segmentation and the series that it was drawn on, which may arrive after it.

    `is_reference` is false for what an algorithm drew by itself: a model's own output never counts as the truth.
    """

    __tablename__ = "enclave_labels"

    uid: Mapped[str] = mapped_column(ForeignKey("enclave_instances.uid"), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(ForeignKey("enclave_patients.pseudonym"))
    labelled_series_uid: Mapped[str] = mapped_column(String(64), index=True)
    is_reference: Mapped[bool]
