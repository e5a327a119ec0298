"""Signing in: name, password and a code. Whatever is wrong, the answer and the work done are the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wardround.foundation.errors import NotAllowed
from wardround.people import attempts, sessions, totp
from wardround.people.accounts import NAME, recovery_digest
from wardround.people.password import check_password
from wardround.people.rights import Person
from wardround.people.roster import Roster
from wardround.people.tables import Account, RecoveryCode, SignIn


class SignInRefused(NotAllowed):
    """Name, password or code is wrong; which one isn't told."""

    code = "sign-in-refused"

    def __init__(self) -> None:
        super().__init__("name, password or code is wrong, or that code was used already")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun. `token` is shown to the person's browser or file, and kept nowhere here."""

    token: str = field(repr=False)
    name: str
    session: str
    ends: datetime
    recovery_left: int | None
    """How many recovery codes are left, if one was used."""


def sign_in(roster: Roster, name: str, password: str, code: str = "", *, source: str, replaces: str = "") -> SignedIn:
    """Begin a session.

    Args:
        code: a time-based code, or a recovery code; empty where the account has no second factor.
        source: where the attempt comes from, an address or an account; kept with the session, and locked out alike.
        replaces: the token of a session that this one takes the place of.

    Raises:
        LockedOut: too many were wrong before.
        SignInRefused: anything is wrong.
    """
    # What was typed may be a password: a name that can't be one is nobody's, and isn't kept.
    name = name if NAME.fullmatch(name) else ""
    with roster.database.writing() as session:
        attempts.claim(roster, session, name, source)
    with roster.database.reading() as session:
        account = session.get(Account, name)
    kept = account.password if account is not None and account.removed_at is None else None
    matches = _matches(roster, kept, password)
    renewed = roster.passwords.hash(password) if matches and kept and roster.passwords.outdated(kept) else None
    with roster.database.writing() as session:
        account = session.scalar(select(Account).where(Account.name == name).with_for_update())
        why, left = "password", None
        if account is None or account.removed_at is not None:
            why = "no such account"
        elif account.password is None:
            why = "not enrolled"
        elif matches and account.password == kept:
            why, left = _second_factor(roster, session, account, code)
        if account is None or why:
            _failed(roster, session, account, why, source)
            signed = None
        else:
            signed = _succeeded(roster, session, account, source, replaces, renewed, left)
    if signed is None:
        raise SignInRefused
    return signed


def change_password(roster: Roster, person: Person, current: str, new: str, *, source: str) -> None:
    """Give the person a new password, and end their other sessions. Wrong current ones count towards a lock-out.

    Raises:
        LockedOut, SignInRefused, PasswordRefused
    """
    check_password(new, person.name)
    with roster.database.writing() as session:
        attempts.claim(roster, session, person.name, source)
    with roster.database.reading() as session:
        kept = session.get_one(Account, person.name).password
    matches = _matches(roster, kept, current)
    hashed = roster.passwords.hash(new) if matches else ""
    with roster.database.writing() as session:
        account = session.scalars(select(Account).where(Account.name == person.name).with_for_update()).one()
        matches = matches and account.password == kept
        if matches:
            account.password = hashed
            attempts.right(roster, session, person.name, source)
            others = (SignIn.person == person.name) & (SignIn.id != person.session)
            ended = sessions.end(roster, session, person.actor, others)
            roster.record(session, person.actor, "change-password", person.name, f"{ended} other sessions ended")
        else:
            _failed(roster, session, account, "password, to change it", source)
    if not matches:
        raise SignInRefused


def _matches(roster: Roster, kept: str | None, password: str) -> bool:
    """One hash is computed, whether there is an account or not."""
    if kept is None:
        roster.passwords.spend(password)
        return False
    return roster.passwords.matches(kept, password)


def _second_factor(roster: Roster, session: Session, account: Account, code: str) -> tuple[str, int | None]:
    """Why the second factor isn't right, or nothing; and how many recovery codes are left, if one was used.

    The account's row is locked: of two sign-ins with one code at the same moment the second finds it taken.
    """
    if account.totp is None:
        return ("no second factor" if roster.settings.second_factor == "required" else ""), None
    at = roster.clock()
    step = totp.step_of(roster.unseal(account.name, account.totp), code, at, after=account.totp_step)
    if step is not None:
        account.totp_step = step
        return "", None
    mine = (RecoveryCode.person == account.name) & RecoveryCode.used_at.is_(None)
    use = update(RecoveryCode).where(mine, RecoveryCode.digest == recovery_digest(roster, account.name, code))
    if session.scalar(use.values(used_at=at).returning(RecoveryCode.digest)) is None:
        return "code", None
    left = len(session.scalars(select(RecoveryCode).where(mine)).all())
    roster.record(session, f"person:{account.name}", "use-recovery-code", account.name, f"{left} left")
    return "", left


def _succeeded(
    roster: Roster,
    session: Session,
    account: Account,
    source: str,
    replaces: str,
    renewed: str | None,
    left: int | None,
) -> SignedIn:
    actor = f"person:{account.name}"
    attempts.right(roster, session, account.name, source)
    account.password = renewed or account.password
    if replaces:
        sessions.end(roster, session, actor, SignIn.digest == roster.digest("session", replaces))
    token, number, ends = sessions.begin(roster, session, account.name, source)
    roster.record(session, actor, "sign-in", account.name, f"session {number} from {source}")
    return SignedIn(token, account.name, number, ends, left)


def _failed(roster: Roster, session: Session, account: Account | None, why: str, source: str) -> None:
    name = account.name if account is not None else ""
    # An unknown name isn't written down: it may be a password in the wrong field.
    roster.record(session, "program", "sign-in-failed", name or "unknown", f"{why}, from {source}")
    is_locked, until = attempts.locked(roster, session, name)
    if name and is_locked:
        when = f"until {until:%Y-%m-%d %H:%M:%S}Z" if until else "until somebody unlocks it"
        roster.record(session, "program", "lock-out", name, when)
