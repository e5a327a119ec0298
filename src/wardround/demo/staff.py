"""Who may sign in to the pages of a demonstration that stays up: somebody for each role, at hub and nodes."""

from __future__ import annotations

import secrets

from wardround.people import accounts
from wardround.people.grants import scoped
from wardround.people.roles import ROLES_AT, Role
from wardround.people.roster import Roster
from wardround.people.settings import PeopleSettings

WITHOUT_TELEPHONE = PeopleSettings(second_factor="optional")
"""Whoever tries a demonstration on their own machine signs in with a password alone; a hospital's people never do."""

ACTOR = "operator:demo"
_FIRST, _SECOND = "bdfghjklmnprstvz", "aeiou"


def new_password() -> str:
    """One for everybody in this demonstration, easy to type: nine syllables, 57 bits. The next one has another."""
    return "-".join("".join(secrets.choice(_FIRST) + secrets.choice(_SECOND) for _ in range(3)) for _ in range(3))


def take_on(roster: Roster, password: str) -> list[str]:
    """Make an account for each role of the program, called as the role is; gives the names, the operator's first."""
    names = []
    for role in sorted(ROLES_AT[roster.program], key=lambda role: (role is not Role.OPERATOR, role)):
        code, _ = accounts.add(roster, role.value, "", [scoped(roster, role)], actor=ACTOR)
        accounts.enrol(roster, role.value, code, password, "", source="demo")
        names.append(role.value)
    return names
