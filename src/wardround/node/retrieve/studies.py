"""One study of a pull: found, sent, counted; and what is noted of each try."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from wardround.dicom.network_query import FoundStudy
from wardround.dicom.network_query_status import DestinationUnknown, QueryFailed
from wardround.dicom.network_retrieve import Retrieved
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.receive.arrival import KeyMaker
from wardround.node.retrieve.arrived import arrived, state_count
from wardround.node.retrieve.asks import Ask
from wardround.node.retrieve.pace import Pace
from wardround.node.retrieve.pacs import Pacs
from wardround.node.retrieve.reasons import ABSENT, INCOMPLETE, MANY, SOME_FAILED, UNREADABLE, reason_of
from wardround.node.retrieve.sealing import SealBroken, Sealing
from wardround.node.retrieve.states import JobState, StudyState, check_job, check_study
from wardround.node.retrieve.tables import PullItem, PullJob

_log = logging.getLogger(__name__)

LONGEST_BACKOFF = timedelta(hours=1)


class Studies:
    """Takes single steps; each writes what came of it in one transaction, unless the item was cancelled meanwhile.

    Args:
        titles: path to the AE title of ours that a study for it is sent to.
        keys: the front door's own, so that what arrives can be counted.
        stopping: whether the node stops, so that a try that ends for it counts for nothing.
    """

    def __init__(
        self,
        database: Database,
        sealing: Sealing,
        keys: KeyMaker,
        titles: dict[str, str],
        pace: Pace,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self._database = database
        self._sealing = sealing
        self._keys = keys
        self._titles = titles
        self._pace = pace
        self._clock = clock
        self._stopping = stopping

    def take(self, item: PullItem, path: str, pacs: Pacs) -> None:
        """Look for an item that is being found, or have one that is being moved sent.

        Raises:
            PeerUnreachable, AssociationRefused: no association; the item is as it was.
        """
        try:
            ask = self._sealing.open(item.sealed, item.job_id, item.line)
            if item.state == StudyState.FINDING:
                self._find(pacs, item, ask)
            else:
                self._move(pacs, item, ask, path)
        except SealBroken:
            self._end(item, StudyState.FAILED, UNREADABLE)
        except DestinationUnknown as error:
            self._hold(item, error)
        except QueryFailed as error:
            self.try_again(item, reason_of(error), error.status, again=error.again)

    def count(self, item: PullItem, path: str) -> bool:
        """Count what has come of a study that was sent; True if that settled it."""
        moment = self._clock()
        with self._database.reading() as session:
            here = arrived(session, path, item.study_key or "")
        if item.expected is not None and here >= item.expected:
            return self._here(item, path, item.expected)
        if here > item.arrived:
            with self._database.writing() as session:
                if (row := mine(session, item)) is not None:
                    row.arrived, row.changed_at = here, moment
            return False
        if moment >= item.changed_at + self._pace.wait:
            self.try_again(item, INCOMPLETE, None, again=True)
            return True
        return False

    def wait_for_the_pacs(self, item: PullItem, reason: str) -> None:
        """Put an item back that couldn't be tried; it costs no try."""
        with self._database.writing() as session:
            if (row := mine(session, item)) is not None:
                row.reason = reason
                step(row, before(row), self._clock())

    def given_up(self, item: PullItem) -> bool:
        """Whether the item was cancelled, or the node stops; asked while the PACS works."""
        if self._stopping():
            return True
        with self._database.reading() as session:
            return session.get_one(PullItem, item.id).state != item.state

    def _find(self, pacs: Pacs, item: PullItem, ask: Ask) -> None:
        found = pacs.find(ask, lambda: self.given_up(item))
        if not found:
            self._end(item, StudyState.ABSENT, ABSENT)
            return
        counts = [pacs.count(study, lambda: self.given_up(item)) for study in found]
        moment = self._clock()
        with self._database.writing() as session:
            row = mine(session, item)
            if row is None:
                return
            if len(found) == 1:
                self._name(session, row, ask.found(found[0]), found[0], counts[0])
                step(row, StudyState.FOUND, moment)
                return
            step(row, StudyState.SPLIT, moment)
            row.reason = MANY
            for study, count in zip(found, counts, strict=True):
                part = PullItem(
                    job_id=row.job_id,
                    line=row.line,
                    state=StudyState.FOUND,
                    attempts=0,
                    arrived=0,
                    due_at=moment,
                    changed_at=moment,
                )
                self._name(session, part, ask.found(study), study, count)
                session.add(part)

    def _move(self, pacs: Pacs, item: PullItem, ask: Ask, path: str) -> None:
        found = pacs.find(Ask(study_uid=ask.study_uid, patient_id=ask.patient_id), lambda: self.given_up(item))
        if not found:
            self._end(item, StudyState.ABSENT, ABSENT)
            return
        expected = pacs.count(found[0], lambda: self.given_up(item))
        if self._here(item, path, expected):
            return
        sent = pacs.send(found[0], self._titles[path], lambda: self.given_up(item))
        if expected is None:
            expected = sent.completed + sent.warnings + sent.failed or None
        if self._here(item, path, expected, none_stated=expected is None):
            return
        self._sent(item, sent)

    def _name(self, session: Session, row: PullItem, ask: Ask, study: FoundStudy, count: int | None) -> None:
        row.sealed = self._sealing.seal(ask, row.job_id, row.line)
        row.study_key = self._keys.key("study", study.study_uid)
        row.expected = count

    def _here(self, item: PullItem, path: str, expected: int | None, *, none_stated: bool = False) -> bool:
        """Note what the PACS states and what has come; whether that is all, or the item isn't ours any more."""
        assert item.study_key is not None  # noqa: S101 - a study that was found has its key
        moment = self._clock()
        with self._database.writing() as session:
            row = mine(session, item)
            if row is None:
                return True
            row.expected, row.arrived = expected, arrived(session, path, item.study_key)
            if expected is not None:
                state_count(session, path, item.study_key, expected)
            if none_stated or (expected is not None and row.arrived >= expected > 0):
                self._done(session, row, moment)
                return True
        return False

    def _sent(self, item: PullItem, sent: Retrieved) -> None:
        """The PACS is through and not all is here: wait for the rest, or try again where it said that some failed."""
        if sent.failed:
            self.try_again(item, SOME_FAILED, sent.status, again=True)
            return
        with self._database.writing() as session:
            row = mine(session, item)
            if row is not None:
                step(row, StudyState.WAITING, self._clock())

    def _done(self, session: Session, row: PullItem, moment: datetime) -> None:
        step(row, StudyState.DONE, moment)
        row.reason, row.status = "", None
        self._record(session, row, "pull-study", f"{row.arrived} of {row.expected or 'unstated'} instances are here")

    def try_again(self, item: PullItem, reason: str, status: int | None, *, again: bool, later: int = 0) -> None:
        """Count a try that failed, and set the next if there is to be one; `later`: by as many waits more."""
        moment = self._clock()
        if self._stopping():
            return
        with self._database.writing() as session:
            row = mine(session, item)
            if row is None:
                return
            row.attempts, row.reason, row.status = row.attempts + 1, reason, status
            if not again or row.attempts >= self._pace.attempts:
                step(row, StudyState.FAILED, moment)
                self._record(session, row, "fail-pull-study", reason)
                return
            step(row, StudyState.QUEUED if row.state == StudyState.FINDING else StudyState.FOUND, moment)
            wait = self._pace.backoff * 2 ** (row.attempts - 1)
            row.due_at = moment + min(wait, LONGEST_BACKOFF) + later * self._pace.backoff

    def _end(self, item: PullItem, state: StudyState, reason: str) -> None:
        with self._database.writing() as session:
            row = mine(session, item)
            if row is not None:
                step(row, state, self._clock())
                row.reason = reason
                self._record(session, row, "fail-pull-study", reason)

    def _record(self, session: Session, row: PullItem, verb: str, detail: str) -> None:
        """What came of a study, under the name of whoever ordered it."""
        job = session.get_one(PullJob, row.job_id)
        audit.record(session, job.actor, verb, f"pull {row.job_id}, line {row.line}", detail, clock=self._clock)

    def _hold(self, item: PullItem, error: DestinationUnknown) -> None:
        """The PACS knows our title in no study of the pull: pause it, for a person to mend that."""
        moment = self._clock()
        _log.error("a pull is paused: the PACS doesn't know this node's AE title as a destination")
        with self._database.writing() as session:
            row = mine(session, item)
            if row is None:
                return
            row.status, row.reason = error.status, reason_of(error)
            step(row, before(row), moment)
            job = session.get_one(PullJob, row.job_id)
            if job.state == JobState.RUNNING:
                check_job(JobState.RUNNING, JobState.PAUSED)
                job.state, job.note = JobState.PAUSED, reason_of(error)
                audit.record(session, "program", "pause-pull", f"pull {job.id}", job.note, clock=self._clock)


def before(row: PullItem) -> StudyState:
    """Where an item goes back to from a step that was not finished."""
    return StudyState.QUEUED if row.state == StudyState.FINDING else StudyState.FOUND


def mine(session: Session, item: PullItem) -> PullItem | None:
    """The item's row, unless somebody cancelled it meanwhile."""
    row = session.get_one(PullItem, item.id, with_for_update=True)
    return row if row.state == item.state else None


def step(row: PullItem, state: StudyState, moment: datetime) -> None:
    """Change an item's state by the table. Raises `NotAllowed`."""
    check_study(StudyState(row.state), state)
    row.state, row.changed_at = state, moment
