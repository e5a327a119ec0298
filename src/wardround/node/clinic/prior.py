"""The earlier study of the same person that a pathway reads beside a new one, out of those that this node keeps.

Two studies are of one person where patient number, its issuer and date of birth are the same, and a number is
there. Who is who stays in this process' memory, as digests under a key of its own: the database learns of no person.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import func, select

from wardround.dicom.source_header import is_date
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.clinic.definition import Definition
from wardround.node.receive.arrival import Unreadable
from wardround.node.receive.clinical import OVERLAP, ClinicalStudy, clinical_study
from wardround.node.receive.route import StudyPath, tags_of
from wardround.node.receive.route_expression import Expression
from wardround.node.receive.route_facts import Facts
from wardround.node.receive.route_trial import read_file_head
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy

_WHO = ("PatientID", "IssuerOfPatientID", "PatientBirthDate")
_WHEN = ("StudyDate", "StudyTime")
_ANEW_EVERY = timedelta(days=1)
"""What was purged or erased meanwhile is forgotten here then; until then it leads to no file."""


@dataclass(frozen=True, slots=True)
class PriorFound:
    """A study by its key at this node, how many days earlier it was made, and the files of the series to be read."""

    study: str
    days: int
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    person: bytes
    day: date
    moment: str


class Priors:
    """Finds earlier studies on the clinical path. The first image of each study is read once a day.

    Args:
        clinical: where the studies of the clinical path lie.
    """

    def __init__(self, database: Database, clinical: Path, clock: Clock) -> None:
        self._database = database
        self._clinical = clinical
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: dict[str, _Known] = {}
        self._asked: datetime | None = None
        self._began: datetime | None = None

    def of(self, study: ClinicalStudy, definition: Definition) -> PriorFound | None:
        """The newest earlier study of whoever this one is of, with a series of which the pathway's condition holds;
        None where none is kept, the study doesn't say whose or when it is, or the pathway asks for none."""
        if definition.prior is None:
            return None
        self._learn()
        now = self._known.get(study.key)
        if now is None:
            return None
        oldest = now.day - timedelta(days=definition.prior.within_days)
        earlier = [
            (one.day, one.moment, key)
            for key, one in self._known.items()
            if one.person == now.person and oldest <= one.day and (one.day, one.moment) < (now.day, now.moment)
        ]
        for day, _, key in sorted(earlier, reverse=True):
            found = clinical_study(self._database, self._clinical, key)
            files = () if found is None else _series(found, definition.reads_before)
            if files:
                return PriorFound(key, (now.day - day).days, files)
        return None

    def _learn(self) -> None:
        """Read who each study is of that was complete since this was last asked."""
        at = self._clock()
        if self._began is None or at - self._began >= _ANEW_EVERY:
            self._known, self._asked, self._began = {}, None, at
        query = (
            select(ReceivedStudy.study_key, ReceivedStudy.completed_at, func.min(ReceivedInstance.file))
            .join(ReceivedInstance, ReceivedInstance.study_id == ReceivedStudy.id)
            .where(
                ReceivedStudy.path == StudyPath.CLINIC.value,
                ReceivedStudy.completed_at.is_not(None),
                ReceivedInstance.state == State.CLINICAL.value,
            )
            .group_by(ReceivedStudy.study_key, ReceivedStudy.completed_at)
        )
        if self._asked is not None:
            query = query.where(ReceivedStudy.completed_at >= self._asked - OVERLAP)
        with self._database.reading() as session:
            rows = session.execute(query).all()
        for key, completed_at, file in rows:
            if completed_at is None or file is None:
                continue
            self._asked = completed_at if self._asked is None else max(self._asked, completed_at)
            known = self._of(self._clinical / file)
            if known is not None:
                self._known[key] = known

    def _of(self, file: Path) -> _Known | None:
        try:
            facts = _facts(file, tags_of((), extra=(*_WHO, *_WHEN)))
        except (Unreadable, OSError):
            return None
        number, issuer, born = (_said(facts, name) for name in _WHO)
        day, moment = (_said(facts, name) for name in _WHEN)
        if not number or not is_date(day):
            return None
        told = "\0".join((number, issuer, born)).encode()
        person = blake2b(told, key=self._key, digest_size=16).digest()
        return _Known(person, date(int(day[:4]), int(day[4:6]), int(day[6:])), moment)


def _series(study: ClinicalStudy, when: Expression) -> tuple[Path, ...]:
    """Of the series of which the condition holds that with the most images; none where there is none."""
    tags = tags_of([when])
    fitting: list[list[Path]] = []
    for files in study.series.values():
        try:
            if when.holds(_facts(files[0], tags)):
                fitting.append(files)
        except (Unreadable, OSError):
            continue
    if not fitting:
        return ()
    most: list[Path] = max(fitting, key=len)
    return tuple(most)


def _facts(file: Path, tags: frozenset[int]) -> Facts:
    head, syntax = read_file_head(file, tags)
    return Facts(head.values, transfer_syntax=syntax)


def _said(facts: Facts, name: str) -> str:
    return " ".join(str(value) for value in facts.values(name)).strip()
