"""Giving roles and taking them away. Nobody gives one to themselves, and somebody can always keep the accounts."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.people.rights import Grant
from wardround.people.roles import ROLES_AT, Program, Role
from wardround.people.roster import Roster
from wardround.people.tables import Account, RoleGrant


def grants_of(session: Session, name: str) -> frozenset[Grant]:
    """What the person called `name` holds now."""
    rows = session.scalars(select(RoleGrant).where(RoleGrant.person == name, RoleGrant.revoked_at.is_(None)))
    return frozenset(Grant(Role(row.role), row.project, row.site) for row in rows)


def scoped(roster: Roster, role: Role, project: str | None = None, site: str | None = None) -> Grant:
    """A grant that can be given at this program.

    Raises:
        NotAllowed: the role isn't one of this program, or the site another than the node's.
    """
    if role not in ROLES_AT[roster.program]:
        known = ", ".join(sorted(each.value for each in ROLES_AT[roster.program]))
        raise NotAllowed(f"there is no {role} at a {roster.program}; its roles are {known}")
    if roster.program == Program.NODE:
        if site not in (None, roster.place):
            raise NotAllowed(f"roles at this node hold for {roster.place} alone; leave the site out")
        site = roster.place
    if role == Role.OPERATOR and project is not None:
        raise NotAllowed("an operator keeps the accounts of all projects; leave the project out")
    return Grant(role, project or None, site or None)


def give(roster: Roster, name: str, grant: Grant, *, actor: str) -> None:
    """Give the person called `name` a role.

    Raises:
        NotFound: there is no such account.
        NotAllowed: they are the one who gives it.
        Conflict: they hold it already.
    """
    with roster.database.writing() as session:
        account = account_of(session, name)
        if actor == f"person:{account.name}":
            raise NotAllowed("nobody gives a role to themselves; ask another operator")
        if grant in grants_of(session, name):
            raise Conflict(f"{name} holds that role already")
        add(roster, session, name, [grant], actor)


def take(roster: Roster, name: str, grant: Grant, *, actor: str) -> None:
    """Take a role from the person called `name`; what they do next is checked without it.

    Raises:
        NotFound: there is no such account, or it doesn't hold this role so.
        NotAllowed: they are the last operator who can sign in.
    """
    with roster.database.writing() as session:
        account_of(session, name)
        if grant.role == Role.OPERATOR:
            check_operator_stays(session, name)
        row = session.scalar(
            select(RoleGrant).where(
                RoleGrant.person == name,
                RoleGrant.role == grant.role.value,
                RoleGrant.project.is_(grant.project) if grant.project is None else RoleGrant.project == grant.project,
                RoleGrant.site.is_(grant.site) if grant.site is None else RoleGrant.site == grant.site,
                RoleGrant.revoked_at.is_(None),
            )
        )
        if row is None:
            raise NotFound(f"{name} doesn't hold {in_words(grant)}; `people list` shows who holds what")
        row.revoked_at, row.revoked_by = roster.clock(), actor
        roster.record(session, actor, "revoke-role", name, in_words(grant))


def add(roster: Roster, session: Session, name: str, grants: Iterable[Grant], actor: str) -> None:
    """Add grants and their rows of the audit in the caller's transaction."""
    for grant in grants:
        session.add(
            RoleGrant(
                person=name,
                role=grant.role.value,
                project=grant.project,
                site=grant.site,
                given_at=roster.clock(),
                given_by=actor,
            )
        )
        roster.record(session, actor, "grant-role", name, in_words(grant))


def take_all(roster: Roster, session: Session, name: str, actor: str) -> None:
    """Take all roles from somebody in the caller's transaction."""
    for row in session.scalars(select(RoleGrant).where(RoleGrant.person == name, RoleGrant.revoked_at.is_(None))):
        row.revoked_at, row.revoked_by = roster.clock(), actor
        roster.record(session, actor, "revoke-role", name, in_words(Grant(Role(row.role), row.project, row.site)))


def check_operator_stays(session: Session, name: str) -> None:
    """Whether somebody besides `name` could still keep the accounts.

    Raises:
        NotAllowed: `name` is an operator, and the last one who can sign in.
    """
    # All operators' rows are locked, in one order: two operators can't remove each other at the same moment.
    rows = session.scalars(
        select(RoleGrant)
        .where(RoleGrant.role == Role.OPERATOR.value, RoleGrant.revoked_at.is_(None))
        .order_by(RoleGrant.id)
        .with_for_update()
    ).all()
    holders = {row.person for row in rows}
    able = select(Account.name).where(
        Account.name.in_(holders), Account.password.is_not(None), Account.removed_at.is_(None)
    )
    if name in holders and not set(session.scalars(able)) - {name}:
        raise NotAllowed(f"{name} is the last operator who can sign in; make and enrol another one first")


def account_of(session: Session, name: str) -> Account:
    """The account called `name`.

    Raises:
        NotFound: there is none, or it was removed.
    """
    account = session.get(Account, name)
    if account is None or account.removed_at is not None:
        raise NotFound(f"there is nobody called {name!r} here; `people list` shows who is")
    return account


def in_words(grant: Grant) -> str:
    """A grant as it is shown."""
    site = f" at {grant.site}" if grant.site else ""
    return grant.role.value + (f" for project {grant.project}" if grant.project else "") + site
