"""Lock-out: wrong sign-ins in a row make whoever comes next wait, longer each time (NIST SP 800-63B section 3.2.2).

An attempt is counted before it is looked at, and taken back if it was right: so no number of attempts at the same
moment gets more guesses than one after the other. Names that nobody has are counted alike.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from wardround.foundation.errors import NotAllowed
from wardround.people.roster import Roster
from wardround.people.settings import PeopleSettings
from wardround.people.tables import Attempts

FORGOTTEN_AFTER = timedelta(days=1)
"""Without another attempt, the count of one that isn't locked for good begins anew."""


class LockedOut(NotAllowed):
    """Too many wrong sign-ins. `until` is when the next is looked at, None when somebody has to unlock the account."""

    code = "locked-out"

    def __init__(self, until: datetime | None) -> None:
        when = f"until {until:%Y-%m-%d %H:%M:%S}Z" if until else "until an operator or engineer unlocks it"
        super().__init__(f"too many wrong sign-ins: locked {when} (`people unlock NAME` ends it)")
        self.until = until


def claim(roster: Roster, session: Session, name: str, source: str) -> None:
    """Count an attempt at `name` from `source`, if one is allowed now.

    Raises:
        LockedOut: it isn't; nothing is counted.
    """
    at, settings = roster.clock(), roster.settings
    _forget(session, at, settings)
    rows = {subject: _row(session, subject, at) for subject in sorted(_subjects(roster, name, source))}
    of_name, of_source = (rows[subject] for subject in _subjects(roster, name, source))
    if of_name.count >= settings.most_failures:
        raise LockedOut(None)
    ends = [row.until for row in rows.values() if row.until is not None and at < row.until]
    if ends:
        raise LockedOut(max(ends))
    for row, most in ((of_name, settings.failures), (of_source, settings.source_failures)):
        row.count, row.last_at = row.count + 1, at
        row.until = at + _delay(row.count - most, settings) if row.count >= most else None


def right(roster: Roster, session: Session, name: str, source: str) -> None:
    """Take the attempt back: the name's count begins anew, the source's is as it was before."""
    of_name, of_source = (_row(session, subject, roster.clock()) for subject in _subjects(roster, name, source))
    of_name.count, of_name.until = 0, None
    of_source.count, of_source.until = max(0, of_source.count - 1), None


def locked(roster: Roster, session: Session, name: str) -> tuple[bool, datetime | None]:
    """Whether `name` is locked now, and until when (None: until it is unlocked)."""
    row = session.get(Attempts, _subjects(roster, name, "")[0])
    if row is None:
        return False, None
    if row.count >= roster.settings.most_failures:
        return True, None
    return row.until is not None and roster.clock() < row.until, row.until


def unlock(roster: Roster, session: Session, name: str) -> bool:
    """Begin the count of `name` anew; whether it was locked."""
    was, _ = locked(roster, session, name)
    row = _row(session, _subjects(roster, name, "")[0], roster.clock())
    row.count, row.until = 0, None
    return was


def _delay(beyond: int, settings: PeopleSettings) -> timedelta:
    longest = timedelta(minutes=settings.longest_delay_minutes)
    return min(longest, timedelta(seconds=settings.first_delay_seconds * float(2 ** min(beyond, 32))))


def _subjects(roster: Roster, name: str, source: str) -> tuple[str, str]:
    # As digests, since people type their password in place of their name.
    return roster.digest("attempts-name", name), roster.digest("attempts-source", source)


def _forget(session: Session, at: datetime, settings: PeopleSettings) -> None:
    old = Attempts.last_at < at - FORGOTTEN_AFTER
    session.execute(delete(Attempts).where(old, Attempts.count < settings.most_failures))


def _row(session: Session, subject: str, at: datetime) -> Attempts:
    """The row of `subject`, locked for this transaction; made if there is none."""
    find = select(Attempts).where(Attempts.subject == subject).with_for_update()
    row = session.scalar(find)
    if row is None:
        try:
            with session.begin_nested():
                session.add(Attempts(subject=subject, count=0, last_at=at))
        except IntegrityError:  # another transaction made it at this moment
            pass
        row = session.scalars(find).one()
    return row
