"""Sessions: who a token stands for at this moment. The same for a cookie of a page and for the command line.

A token is 256 random bits; what is kept is a digest that is bound to this program and place, so that a token of
another program, or a row copied from one, opens nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from wardround.foundation.errors import NotAllowed, NotFound
from wardround.foundation.token import new_secret
from wardround.people.grants import grants_of
from wardround.people.rights import Person
from wardround.people.roster import Roster
from wardround.people.tables import Account, SignIn

NOTED_EVERY = timedelta(minutes=1)
"""How exactly it is known when a session was last used: a row isn't written for each of a page's calls."""

SHOWN_FOR = timedelta(days=30)
LONGEST_SOURCE = 80


class NotSignedIn(NotAllowed):
    """No session, or one that has ended."""

    code = "not-signed-in"


def begin(roster: Roster, session: Session, name: str, source: str) -> tuple[str, str, datetime]:
    """A new session of `name`: its token, its id and when it ends at the latest."""
    at, token, number = roster.clock(), new_secret(), secrets.token_hex(4)
    ends = at + timedelta(hours=roster.settings.session_hours)
    session.execute(delete(SignIn).where(SignIn.person == name, SignIn.ends_at < at - SHOWN_FOR))
    session.add(
        SignIn(
            id=number,
            digest=roster.digest("session", token),
            person=name,
            source=source[:LONGEST_SOURCE],
            made_at=at,
            seen_at=at,
            ends_at=ends,
        )
    )
    return token, number, ends


def person_of(roster: Roster, token: str) -> Person:
    """Whose session `token` is, with the roles that they hold now.

    Raises:
        NotSignedIn: no session of this program has this token, or it has ended.
    """
    at = roster.clock()
    with roster.database.reading() as session:
        row = session.scalar(select(SignIn).where(SignIn.digest == roster.digest("session", token)))
        if row is None:
            raise NotSignedIn("this isn't a session of this program; sign in")
        account = session.get_one(Account, row.person)
        grants = grants_of(session, row.person)
    if row.ended_at is not None or account.removed_at is not None or not _alive(roster, row, at):
        raise NotSignedIn("this session has ended; sign in again")
    if at - row.seen_at >= NOTED_EVERY:
        with roster.database.writing() as session:
            # Not a session that was ended in between, nor one that was used later.
            used = update(SignIn).where(SignIn.id == row.id, SignIn.ended_at.is_(None), SignIn.seen_at < at)
            session.execute(used.values(seen_at=at))
    return Person(account.name, roster.program, roster.place, grants, session=row.id)


def sign_out(roster: Roster, token: str) -> None:
    """End the session of `token`; one that has ended already stays as it is."""
    with roster.database.writing() as session:
        row = session.scalar(select(SignIn).where(SignIn.digest == roster.digest("session", token)))
        if row is not None and end(roster, session, f"person:{row.person}", SignIn.id == row.id):
            roster.record(session, f"person:{row.person}", "sign-out", row.person, f"session {row.id}")


def end_session(roster: Roster, number: str, *, actor: str) -> str:
    """End the session called `number`; gives whose it was.

    Raises:
        NotFound: there is none of that number that goes on.
    """
    with roster.database.writing() as session:
        row = session.get(SignIn, number)
        if row is None or not end(roster, session, actor, SignIn.id == number):
            raise NotFound(f"no session {number!r} goes on here; `people sessions` lists them")
        roster.record(session, actor, "end-session", row.person, f"session {number}")
        return row.person


def end_all(roster: Roster, name: str, *, actor: str) -> int:
    """End all sessions of the person called `name`; gives how many."""
    with roster.database.writing() as session:
        ended = end(roster, session, actor, SignIn.person == name)
        roster.record(session, actor, "end-sessions", name, f"{ended} sessions")
        return ended


def end(roster: Roster, session: Session, actor: str, which: ColumnElement[bool]) -> int:
    """End the sessions that `which` names, in the caller's transaction; gives how many."""
    rows = session.scalars(select(SignIn).where(SignIn.ended_at.is_(None), which).with_for_update()).all()
    for row in rows:
        row.ended_at, row.ended_by = roster.clock(), actor
    return len(rows)


def going_on(roster: Roster) -> Sequence[SignIn]:
    """The sessions that are open now, the newest first."""
    with roster.database.reading() as session:
        rows = session.scalars(select(SignIn).where(SignIn.ended_at.is_(None)).order_by(SignIn.made_at.desc())).all()
    return [row for row in rows if _alive(roster, row, roster.clock())]


def _alive(roster: Roster, row: SignIn, at: datetime) -> bool:
    return at < row.ends_at and at < row.seen_at + timedelta(minutes=roster.settings.idle_minutes)
