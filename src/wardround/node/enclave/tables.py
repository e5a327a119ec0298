"""The enclave's index. Every value comes out of a de-identified object; UIDs are the new ones."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - a column is called date
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class EnclavePatient(NodeTable):
    __tablename__ = "enclave_patients"

    pseudonym: Mapped[str] = mapped_column(String(64), primary_key=True)
    sex: Mapped[str | None] = mapped_column(String(1))


class EnclaveStudy(NodeTable):
    """A study, with how its objects were de-identified: one entry per profile and software version.

    `date` is the shifted date of the study; `description` is there only where the profile cleans descriptors.
    """

    __tablename__ = "enclave_studies"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(ForeignKey("enclave_patients.pseudonym"), index=True)
    statements: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    date: Mapped[Date | None]
    description: Mapped[str | None] = mapped_column(String(64))


class EnclaveSeries(NodeTable):
    """A series, as its first object that was indexed says. A label is a series of its own too.

    Lengths in millimetres; `age` in whole years at the study; `field_strength` in tesla; `contrast` is None where
    the object can't say. `image_type` is the whole multi-valued attribute, its values joined by a backslash.
    """

    __tablename__ = "enclave_series"
    __table_args__ = (
        Index("ix_enclave_series_kind", "modality", "body_part"),
        Index("ix_enclave_series_machine", "manufacturer", "model"),
    )

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
    number: Mapped[int | None]
    description: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(64))
    date: Mapped[Date | None]
    field_strength: Mapped[float | None] = mapped_column(Float)
    contrast: Mapped[bool | None]
    image_type: Mapped[str | None] = mapped_column(String(255))
    laterality: Mapped[str | None] = mapped_column(String(16))
    view_position: Mapped[str | None] = mapped_column(String(16))
    sop_class: Mapped[str | None] = mapped_column(String(64))
    photometric: Mapped[str | None] = mapped_column(String(16))
    transfer_syntax: Mapped[str | None] = mapped_column(String(64))


class EnclaveInstance(NodeTable):
    """An object in the store. `position` is its distance along the slice normal, in millimetres; `number` its
    Instance Number; `frames` is 1 for what isn't multi-frame."""

    __tablename__ = "enclave_instances"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    series_uid: Mapped[str] = mapped_column(ForeignKey("enclave_series.uid"), index=True)
    sop_class: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[float | None] = mapped_column(Float)
    indexed_at: Mapped[datetime] = mapped_column(UtcTime)
    number: Mapped[int | None]
    frames: Mapped[int] = mapped_column(server_default="1")
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    bits: Mapped[int | None]
    transfer_syntax: Mapped[str | None] = mapped_column(String(64))


class EnclaveLabel(NodeTable):
    """A segmentation and the series that it was drawn on, which may arrive after it.

    `is_reference` is false for what an algorithm drew by itself: a model's own output never counts as the truth.
    """

    __tablename__ = "enclave_labels"

    uid: Mapped[str] = mapped_column(ForeignKey("enclave_instances.uid"), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(ForeignKey("enclave_patients.pseudonym"))
    labelled_series_uid: Mapped[str] = mapped_column(String(64), index=True)
    is_reference: Mapped[bool]


class EnclaveUnusable(NodeTable):
    """A case that gave no volume for learning when it was last tried: why, and what it was made of (`digest`)."""

    __tablename__ = "enclave_unusable"

    series_uid: Mapped[str] = mapped_column(ForeignKey("enclave_series.uid"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(64), index=True)
    tried_at: Mapped[datetime] = mapped_column(UtcTime)


class EnclaveTrial(NodeTable):
    """A series that was tried by its headers, and of how many instances it was then."""

    __tablename__ = "enclave_trials"

    series_uid: Mapped[str] = mapped_column(ForeignKey("enclave_series.uid"), primary_key=True)
    instances: Mapped[int]
    tried_at: Mapped[datetime] = mapped_column(UtcTime)


class EnclavePurge(NodeTable):
    """A purge that somebody ordered. `counts` says what went, by kind; `finished_at` is set once its bytes are gone."""

    __tablename__ = "enclave_purges"

    id: Mapped[int] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(String(120))
    scope: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)
    ordered_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)


class EnclaveRemoval(NodeTable):
    """Something on the disk that a purge has still to remove: an object's digest, or a folder of volumes."""

    __tablename__ = "enclave_removals"

    purge_id: Mapped[int] = mapped_column(ForeignKey("enclave_purges.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)


class EnclaveChange(NodeTable):
    """A study of which something came, went or became whole, for who keeps a picture of the enclave (`changes`)."""

    __tablename__ = "enclave_changes"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    study_uid: Mapped[str] = mapped_column(String(64))
