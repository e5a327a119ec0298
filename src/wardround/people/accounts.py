"""Accounts: made by an operator, enrolled by the person themselves with a code, reset, unlocked, removed.

Nobody knows another's password: an operator hands over a code that is good once, and with it the person chooses a
password and takes a secret for time-based codes into a telephone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wardround.foundation.errors import Conflict, NotAllowed
from wardround.foundation.token import new_secret
from wardround.people import attempts, grants, recovery, sessions, totp
from wardround.people.rights import Grant
from wardround.people.roles import Role
from wardround.people.roster import Roster
from wardround.people.tables import Account, RecoveryCode, SignIn

NAME = re.compile(r"[a-z][a-z0-9-]{1,38}[a-z0-9]")


class CodeRefused(NotAllowed):
    """An enrolment code that isn't one, was used or has ended; or a first code that is wrong."""

    code = "code-refused"


@dataclass(frozen=True, slots=True)
class Offer:
    """What goes into a telephone: shown once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """Somebody as an operator sees them. `locked_until` is None where nobody is locked, or until somebody unlocks."""

    name: str
    full_name: str
    state: str
    grants: frozenset[Grant]
    locked_until: datetime | None


def add(roster: Roster, name: str, full_name: str, given: Sequence[Grant], *, actor: str) -> tuple[str, datetime]:
    """Make an account with roles; gives the code with which the person enrols, and until when it is good.

    The first account of all is made by the operating system's account that owns the home, and is an operator's.

    Raises:
        NotAllowed: the name can't be one; the first account would be no operator's; more roles than one at once for it.
        Conflict: somebody has, or had, that name.
    """
    if not NAME.fullmatch(name):
        raise NotAllowed("a person's name here has 3 to 40 lower-case letters, digits and hyphens, a letter first")
    if len(full_name) > 120 or not full_name.isprintable():
        raise NotAllowed("a full name is one line of at most 120 characters")
    with roster.database.writing() as session:
        if session.scalar(select(Account.name).limit(1)) is None and {grant.role for grant in given} != {Role.OPERATOR}:
            raise NotAllowed("the first account is the one that makes the others: give it --role operator, alone")
        if session.get(Account, name) is not None:
            raise Conflict(f"{name!r} is taken; names aren't given twice, not even of people who were removed")
        account = Account(name=name, full_name=full_name, made_at=roster.clock(), made_by=actor, totp_step=0)
        session.add(account)
        session.flush()
        roster.record(session, actor, "add-person", name)
        grants.add(roster, session, name, given, actor)
        return _invite(roster, account)


def offer_codes(roster: Roster, name: str, code: str, *, source: str) -> Offer:
    """Begin an enrolment: a new secret for time-based codes, which counts once `enrol` was given a code of it.

    Raises:
        CodeRefused, LockedOut
    """
    secret = totp.new_secret()
    with roster.database.writing() as session:
        account = _invited(roster, session, name, code, source)
        if account is not None:
            account.totp_offered = roster.seal(name, secret)
            attempts.right(roster, session, name, source)
    if account is None:
        raise _wrong_code()
    return Offer(secret, totp.uri(secret, name, f"Wardround {roster.program} {roster.place}"))


def enrol(roster: Roster, name: str, code: str, password: str, first: str, *, source: str) -> tuple[str, ...]:
    """Finish an enrolment: the password counts from now on; gives the recovery codes, shown once.

    Args:
        first: a code of the secret that `offer_codes` gave; empty to do without, where the settings let one.

    Raises:
        PasswordRefused, CodeRefused, LockedOut
        NotAllowed: this program doesn't do without codes.
    """
    from wardround.people.password import check_password

    check_password(password, name)
    if not first and roster.settings.second_factor == "required":
        raise NotAllowed("everybody here needs a second factor: enrol with a code from a telephone")
    with roster.database.writing() as session:
        invited = _invited(roster, session, name, code, source) is not None
        if invited:
            attempts.right(roster, session, name, source)
    if not invited:  # no hash is computed for who has no code
        raise _wrong_code()
    kept = roster.passwords.hash(password)
    codes = recovery.new_codes() if first else ()
    refused: CodeRefused | None = None
    with roster.database.writing() as session:
        account = _invited(roster, session, name, code, source)
        step = None
        if account is None:
            refused = _wrong_code()
        elif first and account.totp_offered is not None:
            step = totp.step_of(roster.unseal(name, account.totp_offered), first, roster.clock(), after=0)
        if account is not None and first and step is None:
            refused = CodeRefused("that isn't the code that the telephone shows now; is its clock right?")
        if account is not None and refused is None:
            account.password, account.enrol_digest, account.enrol_until = kept, None, None
            account.totp, account.totp_offered = (account.totp_offered if first else None), None
            account.totp_step = step or 0
            session.execute(delete(RecoveryCode).where(RecoveryCode.person == name))
            for each in codes:
                session.add(RecoveryCode(digest=recovery_digest(roster, name, each), person=name))
            attempts.right(roster, session, name, source)
            with_code = "with a second factor" if first else "without a second factor"
            roster.record(session, f"person:{name}", "enrol", name, with_code)
    if refused is not None:
        raise refused
    return codes


def reset(roster: Roster, name: str, *, actor: str, reason: str) -> tuple[str, datetime]:
    """Void password, second factor, recovery codes and sessions; gives a new code to enrol with. Roles stay.

    Raises:
        NotFound: there is no such account.
        NotAllowed: they are the last operator who can sign in, and it isn't the owner of the home who resets them.
    """
    with roster.database.writing() as session:
        account = grants.account_of(session, name)
        if not actor.startswith("os:"):
            grants.check_operator_stays(session, name)
        account.password, account.totp, account.totp_offered = None, None, None
        session.execute(delete(RecoveryCode).where(RecoveryCode.person == name))
        sessions.end(roster, session, actor, SignIn.person == name)
        attempts.unlock(roster, session, name)
        roster.record(session, actor, "reset-person", name, reason)
        return _invite(roster, account)


def remove(roster: Roster, name: str, *, actor: str) -> None:
    """Take an account out of use for good, with its roles and sessions. Its name stays taken.

    Raises:
        NotFound: there is no such account.
        NotAllowed: they are the last operator who can sign in.
    """
    with roster.database.writing() as session:
        account = grants.account_of(session, name)
        grants.check_operator_stays(session, name)
        account.removed_at, account.removed_by, account.password = roster.clock(), actor, None
        account.totp, account.totp_offered, account.enrol_digest = None, None, None
        session.execute(delete(RecoveryCode).where(RecoveryCode.person == name))
        grants.take_all(roster, session, name, actor)
        sessions.end(roster, session, actor, SignIn.person == name)
        roster.record(session, actor, "remove-person", name)


def unlock(roster: Roster, name: str, *, actor: str) -> bool:
    """End a lock-out; whether there was one.

    Raises:
        NotFound: there is no such account.
    """
    with roster.database.writing() as session:
        grants.account_of(session, name)
        was = attempts.unlock(roster, session, name)
        roster.record(session, actor, "unlock-person", name, "was locked" if was else "wasn't locked")
        return was


def lines(roster: Roster) -> list[Line]:
    """Everybody, by name, removed ones too."""
    found = []
    with roster.database.reading() as session:
        for account in session.scalars(select(Account).order_by(Account.name)):
            is_locked, until = attempts.locked(roster, session, account.name)
            state = "enrolled" if account.totp is not None else "enrolled, no second factor"
            if account.removed_at is not None:
                state = "removed"
            elif account.password is None:
                state = "to enrol"
            elif is_locked:
                state = "locked"
            held = grants.grants_of(session, account.name)
            found.append(Line(account.name, account.full_name, state, held, until if is_locked else None))
    return found


def recovery_digest(roster: Roster, name: str, code: str) -> str:
    """What is kept of a recovery code."""
    return roster.digest("recovery", f"{name}\0{recovery.plain(code)}")


def _invite(roster: Roster, account: Account) -> tuple[str, datetime]:
    code = new_secret()
    until = roster.clock() + timedelta(hours=roster.settings.enrol_hours)
    account.enrol_digest, account.enrol_until = roster.digest("enrol", f"{account.name}\0{code}"), until
    return code, until


def _invited(roster: Roster, session: Session, name: str, code: str, source: str) -> Account | None:
    """The account that `code` enrols; counts as an attempt until it is taken back."""
    attempts.claim(roster, session, name, source)
    digest = roster.digest("enrol", f"{name}\0{code.strip()}")
    account = session.scalar(
        select(Account).where(Account.name == name, Account.enrol_digest == digest).with_for_update()
    )
    if account is None or account.removed_at is not None or account.enrol_until is None:
        return None
    return account if roster.clock() < account.enrol_until else None


def _wrong_code() -> CodeRefused:
    return CodeRefused("this code enrols nobody of that name: it was used, has ended or is another's; ask an operator")
