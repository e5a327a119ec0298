"""Studies of the enclave for people who look for one: of whom nobody opted out, and that are whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from wardround.foundation.errors import NotFound
from wardround.node.cohort.selection import is_image
from wardround.node.deidentify.openness import unready
from wardround.node.enclave.tables import (
    EnclaveInstance,
    EnclaveLabel,
    EnclaveSeries,
    EnclaveStudy,
    EnclaveUnusable,
)
from wardround.node.optout.queries import excluded
from wardround.node.projects.queries import frozen

Labelled = Literal["", "yes", "no"]
AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; empty is anything. project: the id of one in whose frozen cohort the study is. labelled:
    whether a reference label is drawn on one of its series."""

    modality: str = ""
    project: str = ""
    labelled: Labelled = ""


@dataclass(frozen=True, slots=True)
class StudyLine:
    """A study in the list. `date` is the shifted one. `series` and `objects` are those of images; `labels` counts the
    segmentations that were drawn on them."""

    uid: str
    pseudonym: str
    date: date | None
    description: str
    modalities: tuple[str, ...]
    series: int
    objects: int
    labels: int


@dataclass(frozen=True, slots=True)
class Label:
    """A segmentation of a series. `digest`: of its object."""

    uid: str
    digest: str
    is_reference: bool


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """A series of images. `unusable`: why it is no volume for learning, as a code; empty where it is one, or wasn't
    tried. `several`: it may hold several volumes, since objects of it lie at one place or have frames."""

    row: EnclaveSeries
    objects: int
    several: bool
    unusable: str
    labels: tuple[Label, ...]


def modalities(session: Session) -> list[str]:
    """Of the images that are here."""
    query = select(EnclaveSeries.modality).where(is_image(), EnclaveSeries.modality.is_not(None)).distinct()
    return sorted(str(one) for one in session.scalars(query))


def found(session: Session, wanted: Wanted, page: int) -> tuple[list[StudyLine], int]:
    """The studies of a page, counted from 1, the newest first, and how many there are on all pages."""
    condition = [_seen(), *_asked(wanted)]
    count = session.scalar(select(func.count()).select_from(EnclaveStudy).where(*condition)) or 0
    rows = session.scalars(
        select(EnclaveStudy)
        .where(*condition)
        .order_by(EnclaveStudy.date.desc().nulls_last(), EnclaveStudy.uid)
        .limit(AT_ONCE)
        .offset(AT_ONCE * (page - 1))
    ).all()
    return _lines(session, rows), count


def study(session: Session, uid: str) -> tuple[EnclaveStudy, list[SeriesLine]]:
    """A study and its series of images, those with labels first.

    Raises:
        NotFound: it isn't here, is still coming in, or its patient opted out.
    """
    row = session.scalars(select(EnclaveStudy).where(_seen(), EnclaveStudy.uid == uid)).first()
    if row is None:
        raise NotFound("no such study is in the enclave, or it may not be used")
    objects, places = func.count(EnclaveInstance.uid), func.count(EnclaveInstance.position.distinct())
    query = (
        select(EnclaveSeries, objects, places, func.max(EnclaveInstance.frames), EnclaveUnusable.reason)
        .join(EnclaveInstance, EnclaveInstance.series_uid == EnclaveSeries.uid)
        .outerjoin(EnclaveUnusable, EnclaveUnusable.series_uid == EnclaveSeries.uid)
        .where(EnclaveSeries.study_uid == uid, is_image())
        .group_by(EnclaveSeries.uid, EnclaveUnusable.reason)
    )
    found = [
        SeriesLine(series, count, 0 < apart < count or frames > 1, reason or "", tuple(labels_on(session, series.uid)))
        for series, count, apart, frames, reason in session.execute(query)
    ]
    found.sort(key=lambda one: (not one.labels, one.row.number or 0, -one.objects, one.row.uid))
    return row, found


def labels_on(session: Session, series: str) -> list[Label]:
    """The labels of a series, the newest first; those of an algorithm after those of people."""
    query = (
        select(EnclaveLabel.uid, EnclaveInstance.digest, EnclaveLabel.is_reference)
        .join(EnclaveInstance, EnclaveInstance.uid == EnclaveLabel.uid)
        .where(EnclaveLabel.labelled_series_uid == series, EnclaveLabel.pseudonym.not_in(excluded()))
        .order_by(EnclaveLabel.is_reference.desc(), EnclaveInstance.indexed_at.desc(), EnclaveLabel.uid)
    )
    return [Label(uid, digest, is_reference) for uid, digest, is_reference in session.execute(query)]


def _seen() -> ColumnElement[bool]:
    return EnclaveStudy.pseudonym.not_in(excluded()) & EnclaveStudy.uid.not_in(unready())


def _asked(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    of_images = select(EnclaveSeries.study_uid).where(is_image())
    conditions.append(
        EnclaveStudy.uid.in_(
            of_images.where(EnclaveSeries.modality == wanted.modality) if wanted.modality else of_images
        )
    )
    if wanted.project:
        conditions.append(EnclaveStudy.uid.in_(frozen(wanted.project)))
    if wanted.labelled:
        labelled = (
            select(EnclaveSeries.study_uid)
            .join(EnclaveLabel, EnclaveLabel.labelled_series_uid == EnclaveSeries.uid)
            .where(EnclaveLabel.is_reference)
        )
        has = EnclaveStudy.uid.in_(labelled)
        conditions.append(has if wanted.labelled == "yes" else ~has)
    return conditions


def _lines(session: Session, rows: Sequence[EnclaveStudy]) -> list[StudyLine]:
    uids = [row.uid for row in rows]
    images: dict[str, list[tuple[str, int, int]]] = {}
    query: Any = (
        select(
            EnclaveSeries.study_uid,
            func.coalesce(EnclaveSeries.modality, ""),
            func.count(EnclaveSeries.uid.distinct()),
            func.count(EnclaveInstance.uid),
        )
        .join(EnclaveInstance, EnclaveInstance.series_uid == EnclaveSeries.uid)
        .where(EnclaveSeries.study_uid.in_(uids), is_image())
        .group_by(EnclaveSeries.study_uid, EnclaveSeries.modality)
    )
    for uid, modality, series, objects in session.execute(query):
        images.setdefault(uid, []).append((modality, series, objects))
    drawn: Any = (
        select(EnclaveSeries.study_uid, func.count(EnclaveLabel.uid))
        .join(EnclaveLabel, EnclaveLabel.labelled_series_uid == EnclaveSeries.uid)
        .where(EnclaveSeries.study_uid.in_(uids), is_image())
        .group_by(EnclaveSeries.study_uid)
    )
    labels = {str(uid): int(count) for uid, count in session.execute(drawn)}
    return [
        StudyLine(
            row.uid,
            row.pseudonym,
            row.date,
            row.description or "",
            tuple(sorted(modality for modality, _, _ in images.get(row.uid, ()) if modality)),
            sum(series for _, series, _ in images.get(row.uid, ())),
            sum(objects for _, _, objects in images.get(row.uid, ())),
            labels.get(row.uid, 0),
        )
        for row in rows
    ]
