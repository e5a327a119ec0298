"""Reads of the log of cohort questions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.node.cohort.tables import AskedQuestion


def newest(session: Session, last: int, *, project: str | None = None) -> Sequence[AskedQuestion]:
    """The questions asked last, the newest first; of one project, or all."""
    query = select(AskedQuestion).order_by(AskedQuestion.id.desc()).limit(last)
    if project is not None:
        query = query.where(AskedQuestion.project == project)
    return session.scalars(query).all()


def of_ask(session: Session, ask: str) -> AskedQuestion | None:
    """What became of an asking that was taken up before, as ahead of a restart."""
    return session.scalar(select(AskedQuestion).where(AskedQuestion.ask == ask).order_by(AskedQuestion.id).limit(1))


def told_before(session: Session, row: AskedQuestion) -> AskedQuestion | None:
    """What was told last to the same person for the same project on the same question, broken down alike."""
    query = select(AskedQuestion).where(
        AskedQuestion.asked_by == row.asked_by,
        AskedQuestion.project == row.project,
        AskedQuestion.digest == row.digest,
        AskedQuestion.outcome.in_(("told", "repeated")),
    )
    for found in session.scalars(query.order_by(AskedQuestion.id.desc())):
        if list(found.by) == list(row.by):
            return found
    return None


NEAR = 2
"""Two questions whose numbers of people differ by so much at most may be about single people."""


def near(session: Session, row: AskedQuestion) -> int:
    """How many other questions of the same person for the same project found nearly as many people."""
    if not row.people:
        return 0
    query = select(func.count(AskedQuestion.digest.distinct())).where(
        AskedQuestion.asked_by == row.asked_by,
        AskedQuestion.project == row.project,
        AskedQuestion.digest != row.digest,
        AskedQuestion.people.between(row.people - NEAR, row.people + NEAR),
    )
    return session.scalar(query) or 0


def spent(session: Session, *, since: datetime | None = None, asker: tuple[str, str] | None = None) -> int:
    """What was paid: since a moment or ever, by one person in one project or by all."""
    query = select(func.coalesce(func.sum(AskedQuestion.cost), 0))
    if since is not None:
        query = query.where(AskedQuestion.at > since)
    if asker is not None:
        query = query.where(AskedQuestion.asked_by == asker[0], AskedQuestion.project == asker[1])
    return int(session.scalar(query) or 0)
