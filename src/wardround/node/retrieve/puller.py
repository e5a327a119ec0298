"""Works on pulls: what is due is found, sent and counted, at the hospital's pace. One that fails holds up no other.

A PACS that doesn't answer is left alone for a while and costs no study a try. What a crash of the node leaves half-done
is tried again after the next start and has cost a try, so that a study that brings the node down can't do so for ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from wardround.dicom.errors import AssociationRefused, DicomError, PeerUnreachable
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.receive.arrival import KeyMaker
from wardround.node.retrieve.pace import Pace
from wardround.node.retrieve.pacs import Pacs
from wardround.node.retrieve.reasons import AWAY, CRASHED, FAULT, REFUSES
from wardround.node.retrieve.sealing import Sealing
from wardround.node.retrieve.states import ENDS, JobState, StudyState, check_job
from wardround.node.retrieve.studies import Studies, before, step
from wardround.node.retrieve.tables import PullItem, PullJob

_log = logging.getLogger(__name__)

AWAY_AT_FIRST = timedelta(seconds=5)
AWAY_AT_MOST = timedelta(minutes=5)
FORGET_AFTER = timedelta(days=30)
"""How long after its end a pull still knows what was asked, for its report."""
_ACTIVE = (StudyState.FINDING, StudyState.MOVING)


class Puller:
    """`tick` takes every step that is due and returns at once; what takes long runs in threads of its own.

    Args:
        keys: the front door's own, so that what arrives can be counted.
        pacs: the PACS, or None where none is set: pulls then wait.
        titles: path to the AE title of ours that a study for it is sent to.
    """

    def __init__(
        self,
        database: Database,
        sealing: Sealing,
        keys: KeyMaker,
        pacs: Pacs | None,
        titles: dict[str, str],
        pace: Pace,
        clock: Clock,
    ) -> None:
        self._database = database
        self._pacs = pacs
        self._pace = pace
        self._clock = clock
        self._stopping = threading.Event()
        self._studies = Studies(database, sealing, keys, titles, pace, clock, self._stopping.is_set)
        self._threads = ThreadPoolExecutor(max_workers=pace.concurrent, thread_name_prefix="pull")
        self._under_way: dict[int, Future[None]] = {}
        self._away_until: datetime | None = None
        self._away_for = AWAY_AT_FIRST
        self._forgot_at: datetime | None = None

    def start(self) -> None:
        """Put back what a crash left under way; each has cost a try."""
        self._after_crash()

    def stop(self) -> None:
        """Cancel what is under way at the PACS and put it back; returns once its threads are done."""
        self._stopping.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._put_back()

    def tick(self) -> int:
        """Settle what has arrived, then begin what is due; returns how many steps were taken."""
        self._collect()
        steps = self._count() + self._finish()
        self._forget()
        moment = self._clock()
        if self._pacs is None or self._stopping.is_set() or not self._pace.hours.open_at(moment):
            return steps
        if self._away_until is not None and moment < self._away_until:
            return steps
        for item_id in self._claim(self._pace.concurrent - len(self._under_way), moment):
            self._under_way[item_id] = self._threads.submit(self._work, item_id, self._pacs)
            steps += 1
        return steps

    def _claim(self, free: int, moment: datetime) -> list[int]:
        """Take what is due: one to be sent if the rate allows, then those to be found."""
        if free <= 0:
            return []
        due = (
            select(PullItem)
            .join(PullJob, PullJob.id == PullItem.job_id)
            .where(PullJob.state == JobState.RUNNING, PullItem.due_at <= moment)
            .order_by(PullItem.job_id, PullItem.line, PullItem.id)
        )
        with self._database.reading() as session:
            if session.scalar(due.where(PullItem.state.in_((StudyState.QUEUED, StudyState.FOUND))).limit(1)) is None:
                return []
        taken = []
        with self._database.writing() as session:
            if self._rate_allows(session, moment):
                for item in session.scalars(due.where(PullItem.state == StudyState.FOUND).limit(1)):
                    step(item, StudyState.MOVING, moment)
                    item.moved_at = moment
                    taken.append(item.id)
            for item in session.scalars(due.where(PullItem.state == StudyState.QUEUED).limit(free - len(taken))):
                step(item, StudyState.FINDING, moment)
                taken.append(item.id)
        return taken

    def _rate_allows(self, session: Session, moment: datetime) -> bool:
        last = session.scalar(select(func.max(PullItem.moved_at)))
        return last is None or moment >= last + timedelta(hours=1) / self._pace.studies_per_hour

    def _work(self, item_id: int, pacs: Pacs) -> None:
        with self._database.reading() as session:
            item = session.get_one(PullItem, item_id)
            path = session.get_one(PullJob, item.job_id).path
        try:
            self._studies.take(item, path, pacs)
        except (PeerUnreachable, AssociationRefused) as error:
            self._no_association(pacs, item, error)
            return
        except Exception as error:
            # Whatever a study's answers made this program raise, it holds up no other study.
            _log.error("a study could not be pulled: %s", type(error).__name__)
            self._studies.try_again(item, FAULT, None, again=True)
        self._away_until, self._away_for = None, AWAY_AT_FIRST

    def _no_association(self, pacs: Pacs, item: PullItem, error: DicomError) -> None:
        """Tell a PACS that is away from one that refuses this request alone."""
        reason = REFUSES if isinstance(error, AssociationRefused) else AWAY
        try:
            pacs.answers()
        except (PeerUnreachable, AssociationRefused):
            if self._away_until is None:
                _log.warning("pulls wait: %s", reason)
            self._away_until = self._clock() + self._away_for
            self._away_for = min(self._away_for * 2, AWAY_AT_MOST)
            self._studies.wait_for_the_pacs(item, reason)
        else:
            self._studies.try_again(item, reason, None, again=True)

    def _count(self) -> int:
        """Look after the studies that were sent and not all of which has come."""
        waiting = select(PullItem, PullJob.path).join(PullJob, PullJob.id == PullItem.job_id)
        with self._database.reading() as session:
            rows = session.execute(waiting.where(PullItem.state == StudyState.WAITING)).all()
        return sum(self._studies.count(item, path) for item, path in rows)

    def _finish(self) -> int:
        open_items = select(PullItem.id).where(PullItem.job_id == PullJob.id, PullItem.state.not_in(ENDS)).exists()
        over = select(PullJob).where(PullJob.state == JobState.RUNNING, ~open_items)
        with self._database.reading() as session:
            if session.scalar(over.limit(1)) is None:
                return 0
        with self._database.writing() as session:
            jobs = session.scalars(over).all()
            for job in jobs:
                check_job(JobState(job.state), JobState.FINISHED)
                job.state, job.ended_at = JobState.FINISHED, self._clock()
                audit.record(session, "program", "finish-pull", f"pull {job.id}", clock=self._clock)
        return len(jobs)

    def _forget(self) -> None:
        """Drop what was asked in pulls that ended long ago; once an hour is often enough."""
        moment = self._clock()
        if self._forgot_at is not None and moment < self._forgot_at + timedelta(hours=1):
            return
        self._forgot_at = moment
        old = select(PullJob.id).where(PullJob.ended_at < moment - FORGET_AFTER)
        with self._database.writing() as session:
            for item in session.scalars(select(PullItem).where(PullItem.job_id.in_(old), PullItem.sealed != b"")):
                item.sealed = b""

    def _collect(self) -> None:
        """Look after threads that ended; one that died leaves its item to be put back."""
        for item_id, work in list(self._under_way.items()):
            if work.done():
                del self._under_way[item_id]
                if (error := work.exception()) is not None:
                    _log.error("a step of a pull failed: %s", type(error).__name__)
                    self._after_crash(item_id)

    def _after_crash(self, *only: int) -> None:
        """Count a try of each. They come back one after the other: whichever of them did it then goes down alone."""
        with self._database.reading() as session:
            left = session.scalars(_under_way(only)).all()
        for place, item in enumerate(left):
            self._studies.try_again(item, CRASHED, None, again=True, later=place)

    def _put_back(self) -> None:
        with self._database.writing() as session:
            for item in session.scalars(_under_way()):
                step(item, before(item), self._clock())


def _under_way(only: Sequence[int] = ()) -> Select[PullItem]:
    query = select(PullItem).where(PullItem.state.in_(_ACTIVE)).order_by(PullItem.id)
    return query.where(PullItem.id.in_(only)) if only else query
