"""What an approval lets happen so and so often: runs that use data here, rounds, and messages that leave.

Counted at this hospital, in the transaction that lets the step go on, so that no hub can ask for one more. What is told
again to the last bit is no second message: a round is done again where a leg broke.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from wardround.contracts.project import PER, LeavingKind
from wardround.foundation.errors import NotAllowed
from wardround.node import audit
from wardround.node.projects.standing import Standing, check_may_run, has_begun
from wardround.node.projects.tables import ProjectRun, Release


def begin_run(session: Session, found: Standing, run: str, *, at: datetime) -> None:
    """Note that a run uses data here from now on; the same run again changes nothing.

    Raises:
        NotAllowed: `runs-used-up`.
    """
    check_may_run(session, found, run)
    if not has_begun(session, found, run):
        session.add(ProjectRun(decision=found.approval.id, run=run, began_at=at))
        audit.record(session, "program", "begin-run", found.row.id, run)


def end_run(session: Session, run: str, *, at: datetime) -> None:
    """Note that the hub said that a run is over."""
    session.execute(
        update(ProjectRun)
        .where(ProjectRun.run == run, ProjectRun.ended_at.is_(None))
        .values(ended_at=at)
        .execution_options(synchronize_session=False)
    )


def check_round(found: Standing, number: int, total: int) -> None:
    """May this round of a run of `total` rounds be done here?

    Raises:
        NotAllowed: `not-the-approved-plan`, or `round-limit` where this hospital approved fewer.
    """
    rounds = found.project.plan.rounds
    if total != rounds or not 1 <= number <= rounds:
        raise NotAllowed(f"round {number} of {total} isn't in the plan that was approved", code="not-the-approved-plan")
    if number > found.terms.rounds:
        raise NotAllowed(f"{found.terms.rounds} rounds of each run were approved here", code="round-limit")


def release(
    session: Session,
    found: Standing,
    kind: LeavingKind,
    *,
    run: str,
    content: str,
    size: int,
    round_number: int = 0,
    at: datetime,
) -> None:
    """Let a message leave under the approval, and count it; called before it goes.

    Args:
        content: the SHA-256 of what it tells.
        size: its bytes, with all that goes beside it.
        round_number: of a kind that is counted by the round.

    Raises:
        NotAllowed: `message-not-approved`, `message-too-large` or `message-too-often`.
    """
    leaving = found.terms.leaving(kind)
    if leaving is None:
        raise NotAllowed(f"no {kind} may leave for {found.row.id}", code="message-not-approved")
    if size > leaving.largest_bytes:
        raise NotAllowed(
            f"a {kind} of {size:,} bytes is more than the {leaving.largest_bytes:,} approved", code="message-too-large"
        )
    number = round_number if PER[kind] == "round" else 0
    same = (
        Release.decision == found.approval.id,
        Release.run == run,
        Release.round == number,
        Release.kind == kind,
    )
    if session.scalar(select(Release.id).where(*same, Release.content == content)) is not None:
        return
    if (session.scalar(select(func.count()).select_from(Release).where(*same)) or 0) >= leaving.times:
        raise NotAllowed(
            f"{leaving.times} of {kind} in each {PER[kind]} were approved, and have left", code="message-too-often"
        )
    session.add(
        Release(decision=found.approval.id, run=run, round=number, kind=kind, content=content, bytes=size, at=at)
    )
