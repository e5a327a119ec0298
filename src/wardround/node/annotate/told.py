"""What clients read of cases and labels: how many there are, what each has, and how far readers agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

from sqlalchemy import func, select

from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.node.annotate.states import LabelState
from wardround.node.annotate.subjects import Subject, Subjects
from wardround.node.annotate.tables import AnnotationLabel
from wardround.node.annotate.volume_file import NIFTI_GZ
from wardround.node.annotate.work import overlap

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the newest labels of two people on one series overlap: Dice, 1 where both drew nothing."""

    series: str
    people: tuple[str, str]
    dice: float


@dataclass(frozen=True, slots=True)
class Effort:
    """Minutes that a person took for a case, the middle one of them, with a model's help or by hand alone."""

    person: str
    helped: bool
    cases: int
    minutes: float


def stats(database: Database, subjects: Subjects, readers: int) -> Json:
    """How many images there are, and how many have as many labels as they are to have."""
    standing = AnnotationLabel.state != LabelState.REJECTED
    authors = func.count(AnnotationLabel.author.distinct())
    accepted = func.max(func.coalesce(AnnotationLabel.object_uid, ""))
    per_series = select(AnnotationLabel.series, authors, accepted).where(standing).group_by(AnnotationLabel.series)
    tags = select(AnnotationLabel.tag, func.count(AnnotationLabel.series.distinct())).where(standing)
    with database.reading() as session:
        done = sum(1 for _, drawn, uid in session.execute(per_series) if drawn >= readers or uid)
        by_tag = dict(session.execute(tags.group_by(AnnotationLabel.tag)).tuples().all())
    return {"total": subjects.count(), "completed": done, "label_tags": by_tag}


def listing(database: Database, subjects: Sequence[Subject]) -> Json:
    """Every image with its labels, as the datastore of MONAI Label tells it; the newest version of each tag."""
    labels: dict[str, Json] = defaultdict(dict)
    query = (
        select(AnnotationLabel).where(AnnotationLabel.state != LabelState.REJECTED).order_by(AnnotationLabel.version)
    )
    with database.reading() as session:
        for row in session.scalars(query):
            labels[row.series][row.tag] = {
                "ext": NIFTI_GZ,
                "info": {
                    "version": row.version,
                    "author": row.author.removeprefix("person:"),
                    "state": row.state,
                    "model": row.model,
                    "ts": int(row.saved_at.timestamp()),
                },
            }
    return {
        "objects": {
            one.series: {
                "image": {"ext": NIFTI_GZ, "info": image_info(one)},
                "labels": labels.get(one.series, {}),
            }
            for one in subjects
        }
    }


def image_info(subject: Subject) -> Json:
    """What a viewer needs to find an image by DICOMweb."""
    return {
        "StudyInstanceUID": subject.study,
        "SeriesInstanceUID": subject.series,
        "PatientID": subject.pseudonym,
        "Modality": subject.modality,
        "StudyDate": subject.date,
        "SeriesDescription": subject.description,
    }


def labels_of(database: Database, series: Collection[str] | None = None) -> Sequence[AnnotationLabel]:
    """The labels that were saved, of these series alone where they are named, by series and version."""
    query = select(AnnotationLabel).order_by(AnnotationLabel.series, AnnotationLabel.version)
    if series is not None:
        query = query.where(AnnotationLabel.series.in_(series))
    with database.reading() as session:
        return list(session.scalars(query))


def overlap_in(files: ObjectStore) -> Callable[[str, str], float]:
    """How far two labels of a store overlap, by the digests of their NIfTI files."""
    return lambda one, other: overlap(files.get(one), files.get(other))


def agreements(
    database: Database, overlap: Callable[[str, str], float], series: Collection[str] | None = None
) -> Sequence[Agreement]:
    """Of each series that several people drew (all where `series` is None), each two of them by their newest label
    that stands. `overlap`: of two labels by the digests of their NIfTI files."""
    newest: dict[str, dict[str, AnnotationLabel]] = defaultdict(dict)
    for row in labels_of(database, series):
        if row.state != LabelState.REJECTED:
            newest[row.series][row.author] = row
    found = []
    for name, by_author in sorted(newest.items()):
        for one, other in combinations(sorted(by_author), 2):
            dice = overlap(by_author[one].nifti, by_author[other].nifti)
            found.append(Agreement(name, (one, other), dice))
    return found


def efforts(database: Database) -> Sequence[Effort]:
    """By person, and by whether a model helped."""
    seconds: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for row in labels_of(database):
        if row.seconds is not None:
            seconds[row.author, bool(row.model)].append(row.seconds)
    return [
        Effort(person, helped, len(taken), median(taken) / 60) for (person, helped), taken in sorted(seconds.items())
    ]


@dataclass(frozen=True, slots=True)
class Saving:
    """What a person's cases with help took beside their own by hand. `minutes`: saved over all of `helped`'s cases,
    below 0 where help cost time."""

    helped: Effort
    alone: Effort

    @property
    def minutes(self) -> float:
        return (self.alone.minutes - self.helped.minutes) * self.helped.cases


def savings(found: Sequence[Effort]) -> Sequence[Saving]:
    """Of each person who drew both ways; nobody is compared with somebody else."""
    alone = {one.person: one for one in found if not one.helped}
    return [Saving(one, alone[one.person]) for one in found if one.helped and one.person in alone]
