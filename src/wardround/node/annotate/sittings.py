"""Giving people cases: one at a time to each, and no case to more people at once than are to draw it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import Conflict
from wardround.node import audit
from wardround.node.annotate.choice import Known, Strategy, Trait
from wardround.node.annotate.states import LabelState
from wardround.node.annotate.subjects import Subject
from wardround.node.annotate.tables import AnnotationLabel, AnnotationSitting, AnnotationTrait

_ATTEMPTS = 8
SAVED, PASSED, EXPIRED = "saved", "passed", "expired"


@dataclass(frozen=True, slots=True)
class Rules:
    """readers: how many people are to draw a case. hold: how long a case that was given is held."""

    readers: int = 1
    hold: timedelta = timedelta(hours=2)


def take(
    database: Database,
    subjects: Sequence[Subject],
    name: str,
    strategy: Strategy,
    rules: Rules,
    *,
    actor: str,
    clock: Clock = now,
) -> Subject | None:
    """Give `actor` the next case, and hold it for them; None where nothing is left for them to draw.

    A case that they had before them without saving it is passed on: it is offered to others at once, and to them again
    when nothing else is left.
    """
    for _ in range(_ATTEMPTS):
        try:
            with database.writing() as session:
                return _take(session, subjects, name, strategy, rules, actor, clock)
        except IntegrityError:
            continue  # somebody took that seat at the same moment
    return None


def give_back(database: Database, *, actor: str, clock: Clock = now) -> None:
    """Have what `actor` holds offered to others at once. Of somebody who holds nothing nothing is done."""
    with database.writing() as session:
        mine = AnnotationSitting.person == actor, AnnotationSitting.seat.is_not(None)
        for sitting in session.scalars(select(AnnotationSitting).where(*mine)).all():
            sitting.seat, sitting.ended = None, PASSED
            audit.record(session, actor, "give-case-back", sitting.series, clock=clock)


def has(session: Session, series: str, *, actor: str) -> bool:
    """Whether somebody has a case before them, or has drawn it already and may draw it anew, as another version."""
    return current(session, actor, series) is not None or any(row.author == actor for row in _standing(session, series))


def check_may_draw(session: Session, series: str, readers: int, *, actor: str) -> None:
    """Raises `Conflict` where they don't have the case (`has`); it says who does, or that it is to be taken first."""
    if not has(session, series, actor=actor):
        check_free(session, series, readers, actor=actor)
        raise Conflict("take the case first, so that nobody else is given it")


def check_free(session: Session, series: str, readers: int, *, actor: str) -> None:
    """Raises `Conflict` where a case that `actor` doesn't have can't be given to them; it says who has or drew it."""
    labels = _standing(session, series)
    seats = select(AnnotationSitting).where(AnnotationSitting.series == series, AnnotationSitting.seat.is_not(None))
    others = [row for row in session.scalars(seats) if row.person != actor]
    accepted = next((row for row in labels if row.state == LabelState.ACCEPTED), None)
    if accepted is not None:
        raise Conflict(f"the label that {_name(accepted.author)} drew was accepted for this case")
    authors = sorted({row.author for row in labels})
    if len(authors) + len(others) < readers:
        return
    if others:
        names, until = " and ".join(_name(row.person) for row in others), max(row.until for row in others)
        have = "have" if len(others) > 1 else "has"
        raise Conflict(f"{names} {have} this case before them, until {until:%H:%M} UTC at the latest; take another one")
    raise Conflict(f"{' and '.join(_name(one) for one in authors)} drew this case; its labels wait for a decision")


def current(session: Session, actor: str, series: str) -> AnnotationSitting | None:
    """The sitting of `actor` over a series that goes on."""
    query = select(AnnotationSitting).where(
        AnnotationSitting.person == actor, AnnotationSitting.series == series, AnnotationSitting.seat.is_not(None)
    )
    return session.scalar(query)


def note_help(database: Database, series: str, model: str, *, actor: str) -> None:
    """Keep which model helped in a sitting that goes on."""
    with database.reading() as session:
        sitting = current(session, actor, series)
    if sitting is not None and sitting.model != model:
        with database.writing() as session:
            session.execute(
                update(AnnotationSitting)
                .where(AnnotationSitting.id == sitting.id, AnnotationSitting.seat.is_not(None))
                .values(model=model)
            )


def held(session: Session, at: datetime) -> list[AnnotationSitting]:
    """The sittings that go on, the oldest first."""
    query = select(AnnotationSitting).where(AnnotationSitting.seat.is_not(None), AnnotationSitting.until > at)
    return list(session.scalars(query.order_by(AnnotationSitting.began_at)))


def known(session: Session) -> Known:
    """What strategies go by."""
    traits = {
        row.series: Trait(tuple(float(one) for one in row.look), row.doubt)
        for row in session.scalars(select(AnnotationTrait))
    }
    standing = select(AnnotationLabel.series).where(AnnotationLabel.state != LabelState.REJECTED)
    return Known(traits, frozenset(session.scalars(standing)))


def _take(
    session: Session,
    subjects: Sequence[Subject],
    name: str,
    strategy: Strategy,
    rules: Rules,
    actor: str,
    clock: Clock,
) -> Subject | None:
    at = clock()
    _end(session, AnnotationSitting.until <= at, EXPIRED)
    _end(session, AnnotationSitting.person == actor, PASSED)
    session.flush()
    taken: dict[str, set[int]] = defaultdict(set)
    for seat in session.scalars(select(AnnotationSitting.seat).where(AnnotationSitting.seat.is_not(None))):
        series, _, number = str(seat).rpartition("#")
        taken[series].add(int(number))
    authors: dict[str, set[str]] = defaultdict(set)
    accepted: set[str] = set()
    rows = select(AnnotationLabel.series, AnnotationLabel.author, AnnotationLabel.state)
    for series, author, state in session.execute(rows.where(AnnotationLabel.state != LabelState.REJECTED)):
        authors[series].add(author)
        if state == LabelState.ACCEPTED:
            accepted.add(series)
    passed = set(
        session.scalars(
            select(AnnotationSitting.series).where(
                AnnotationSitting.person == actor, AnnotationSitting.ended.in_((PASSED, EXPIRED))
            )
        )
    )
    free = [
        one
        for one in subjects
        if one.series not in accepted
        and actor not in authors[one.series]
        and len(authors[one.series]) + len(taken[one.series]) < rules.readers
    ]
    fresh = [one for one in free if one.series not in passed]
    ordered = strategy.order(fresh or free, known(session))
    if not ordered:
        return None
    chosen = ordered[0]
    free_seat = next(one for one in range(rules.readers) if one not in taken[chosen.series])
    session.add(
        AnnotationSitting(
            series=chosen.series,
            pseudonym=chosen.pseudonym,
            person=actor,
            strategy=name,
            seat=f"{chosen.series}#{free_seat}",
            model="",
            began_at=at,
            until=at + rules.hold,
            ended="",
        )
    )
    audit.record(session, actor, "take-case", chosen.series, name, clock=clock)
    return chosen


def _standing(session: Session, series: str) -> Sequence[AnnotationLabel]:
    rows = select(AnnotationLabel).where(AnnotationLabel.series == series, AnnotationLabel.state != LabelState.REJECTED)
    return session.scalars(rows).all()


def _name(actor: str) -> str:
    return actor.removeprefix("person:")


def _end(session: Session, which: ColumnElement[bool], how: str) -> None:
    session.execute(
        update(AnnotationSitting).where(AnnotationSitting.seat.is_not(None), which).values(seat=None, ended=how)
    )
