"""What the DICOMweb server keeps: its tokens, and the headers of the enclave's objects as DICOM JSON.

Every value comes out of a de-identified object. The headers are a cache: losing them costs time only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class WebToken(NodeTable):
    """A bearer token. `digest` is SHA-256 of the token, which nobody keeps; `path` is where a storing one leads."""

    __tablename__ = "dicomweb_tokens"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scope: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(String(16))
    made_by: Mapped[str] = mapped_column(String(120))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class WebStudy(NodeTable):
    """A study's attributes at patient and study level, as its first object says them. `date` is Study Date (DA)."""

    __tablename__ = "dicomweb_studies"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    date: Mapped[str] = mapped_column(String(8), index=True)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)


class WebSeries(NodeTable):
    __tablename__ = "dicomweb_series"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_uid: Mapped[str] = mapped_column(String(64), index=True)
    modality: Mapped[str] = mapped_column(String(16), index=True)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)


class WebInstance(NodeTable):
    """An object: `digest` names its bytes in the enclave, `header` is its whole header, JSON compressed by zlib."""

    __tablename__ = "dicomweb_instances"
    __table_args__ = (Index("ix_dicomweb_instances_place", "study_uid", "series_uid"),)

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    series_uid: Mapped[str] = mapped_column(String(64), index=True)
    study_uid: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    sop_class: Mapped[str] = mapped_column(String(64))
    transfer_syntax: Mapped[str] = mapped_column(String(64))
    number: Mapped[int | None]
    frames: Mapped[int]
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
    header: Mapped[bytes] = mapped_column(LargeBinary)
