"""On whose behalf something is done: a person with a session and a role or, while there are none, the home's owner."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import NewType

from wardround.foundation.errors import NotAllowed
from wardround.people.rights import MayNot, Person, check_may, check_may_somewhere, right_of
from wardround.people.roster import Roster
from wardround.people.sessions import person_of

Actor = NewType("Actor", str)
"""Who acts, as the audit names them: `person:<name>` or `os:<account>`. Only this module makes one."""


def acting_as(
    roster: Roster,
    token: str,
    verb: str,
    project: str | None = None,
    *,
    site: str | None = None,
    somewhere: bool = False,
) -> tuple[Actor, Person]:
    """Who acts by a session; a refusal is on the audit.

    Args:
        somewhere: it is enough that they may for some project: for what shows each project to those who may see it.

    Raises:
        NotSignedIn: the session isn't one, or has ended.
        MayNot: no role of theirs allows it.
        UnknownVerb: an error in the program.
    """
    right_of(verb)
    person = person_of(roster, token)
    try:
        if somewhere:
            check_may_somewhere(person, verb)
        else:
            check_may(person, verb, project, site=site)
    except MayNot as refusal:
        with roster.database.writing() as session:
            about = " ".join(part for part in (project, site) if part)
            roster.record(session, person.actor, "refused", verb, f"{refusal.code} {about}".strip())
        raise
    return Actor(person.actor), person


def acting_as_owner(home: Path) -> Actor:
    """The operating system's account that runs this, if it owns `home` (or is root).

    Raises:
        NotAllowed: it isn't.
    """
    uid, owner = os.geteuid(), home.stat().st_uid
    if uid not in (owner, 0):
        raise NotAllowed(
            f"this is done by {_account(owner)}, which owns {home}, or by a person with a session; "
            f"you are {_account(uid)}"
        )
    return Actor(f"os:{_account(uid)}")


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
