"""Orders to pull: made, paused, resumed and cancelled by people, each with its row in the audit."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.node import audit
from wardround.node.receive.route import StudyPath
from wardround.node.retrieve.asks import Ask, once
from wardround.node.retrieve.sealing import Sealing
from wardround.node.retrieve.states import ENDS, JobState, StudyState, check_job, check_study
from wardround.node.retrieve.tables import PullItem, PullJob


def order(
    database: Database, sealing: Sealing, asks: Sequence[Ask], path: StudyPath, *, actor: str, clock: Clock = now
) -> int:
    """Order a pull and return its number. It is durable: the node works on it whenever it serves.

    Raises:
        AskRefused: nothing is asked, or too much at once.
    """
    wanted = once(asks)
    moment = clock()
    with database.writing() as session:
        job = PullJob(actor=actor, path=path.value, state=JobState.RUNNING, ordered_at=moment)
        session.add(job)
        session.flush()
        for line, ask in enumerate(wanted, 1):
            session.add(
                PullItem(
                    job_id=job.id,
                    line=line,
                    sealed=sealing.seal(ask, job.id, line),
                    state=StudyState.QUEUED,
                    due_at=moment,
                    changed_at=moment,
                )
            )
        audit.record(session, actor, "pull", f"pull {job.id}", f"{len(wanted)} asked, path {path.value}", clock=clock)
        return job.id


def pause(database: Database, number: int, *, actor: str, clock: Clock = now) -> None:
    """Begin no further study of a pull until it is resumed. Raises `NotFound`, `NotAllowed`."""
    with database.writing() as session:
        _step(session, number, JobState.PAUSED)
        audit.record(session, actor, "pause-pull", f"pull {number}", clock=clock)


def resume(database: Database, number: int, *, actor: str, clock: Clock = now) -> None:
    """Go on with a paused pull. Raises `NotFound`, `NotAllowed`."""
    with database.writing() as session:
        job = _step(session, number, JobState.RUNNING)
        job.note = ""
        audit.record(session, actor, "resume-pull", f"pull {number}", clock=clock)


def cancel(database: Database, number: int, *, actor: str, clock: Clock = now) -> int:
    """End a pull; what is here already stays. Returns how many studies were given up.

    A study that the PACS is sending at this moment is cancelled there too.

    Raises:
        NotFound, NotAllowed: there is no such pull, or it is over.
    """
    moment = clock()
    with database.writing() as session:
        job = _step(session, number, JobState.CANCELLED)
        job.ended_at = moment
        items = session.scalars(select(PullItem).where(PullItem.job_id == number, PullItem.state.not_in(ENDS))).all()
        for item in items:
            check_study(StudyState(item.state), StudyState.CANCELLED)
            item.state, item.reason, item.changed_at = StudyState.CANCELLED, "cancelled", moment
        audit.record(session, actor, "cancel-pull", f"pull {number}", f"{len(items)} given up", clock=clock)
        return len(items)


def _step(session: Session, number: int, state: JobState) -> PullJob:
    job = session.get(PullJob, number)
    if job is None:
        raise NotFound(f"there is no pull {number}; list them with `wardround node pull --list`")
    check_job(JobState(job.state), state)
    job.state = state
    return job
