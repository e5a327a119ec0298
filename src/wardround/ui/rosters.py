"""The page of people: who has an account, in which roles, who is locked out; and what an operator does about it."""

from __future__ import annotations

from collections.abc import Sequence

from wardround.foundation.errors import NotAllowed
from wardround.people import accounts, grants, sessions
from wardround.people.grants import in_words, scoped
from wardround.people.rights import RIGHTS
from wardround.people.roles import ROLES_AT, Role
from wardround.people.roster import Roster
from wardround.ui.page import Moved, Page, Shown, Visit


def pages() -> tuple[Page, ...]:
    return (
        Page("GET", "/people", "see-people", people, place="People"),
        Page("POST", "/people", "add-person", _adds),
        Page("POST", "/people/{name}/unlock", "unlock-person", _unlocks),
        Page("POST", "/people/{name}/reset", "reset-person", _resets),
        Page("POST", "/people/{name}/remove", "remove-person", _removes),
        Page("POST", "/people/{name}/sessions", "end-sessions", _ends_sessions),
        Page("POST", "/people/{name}/grant", "grant-role", _grants),
        Page("POST", "/people/{name}/revoke", "revoke-role", _revokes),
    )


def people(visit: Visit, code: tuple[str, str, str] | None = None) -> Shown:
    roster = visit.roster
    rows = [
        (line, sorted((in_words(grant), grant.role.value, grant.project or "") for grant in line.grants))
        for line in accounts.lines(roster)
    ]
    values = {
        "rows": rows,
        "roles": sorted(role.value for role in ROLES_AT[roster.program]),
        "may": {verb for verb in RIGHTS if visit.may(verb)},
        "signed_in": {row.person for row in sessions.going_on(roster)},
        "given": code,
        "done": visit.asked("done"),
    }
    return Shown("people.html", values)


def _adds(visit: Visit) -> Shown:
    roster, name = visit.roster, visit.field("name")
    given = [scoped(roster, Role(each)) for each in dict.fromkeys(_roles(roster, visit.form.get("role", ())))]
    code, until = accounts.add(roster, name, visit.field("full_name"), given, actor=visit.by)
    return people(visit, (name, code, f"{until:%Y-%m-%d %H:%M} UTC"))


def _resets(visit: Visit) -> Shown:
    name = visit.path["name"]
    code, until = accounts.reset(visit.roster, name, actor=visit.by, reason="by the page of people")
    return people(visit, (name, code, f"{until:%Y-%m-%d %H:%M} UTC"))


def _unlocks(visit: Visit) -> Moved:
    accounts.unlock(visit.roster, visit.path["name"], actor=visit.by)
    return Moved("/people?done=unlocked")


def _removes(visit: Visit) -> Moved:
    accounts.remove(visit.roster, visit.path["name"], actor=visit.by)
    return Moved("/people?done=removed")


def _ends_sessions(visit: Visit) -> Moved:
    sessions.end_all(visit.roster, visit.path["name"], actor=visit.by)
    return Moved("/people?done=sessions")


def _grants(visit: Visit) -> Moved:
    [role] = _roles(visit.roster, [visit.field("role")])
    grant = scoped(visit.roster, Role(role), visit.field("project") or None)
    grants.give(visit.roster, visit.path["name"], grant, actor=visit.by)
    return Moved("/people?done=granted")


def _revokes(visit: Visit) -> Moved:
    [role] = _roles(visit.roster, [visit.field("role")])
    grant = scoped(visit.roster, Role(role), visit.field("project") or None)
    grants.take(visit.roster, visit.path["name"], grant, actor=visit.by)
    return Moved("/people?done=revoked")


def _roles(roster: Roster, given: Sequence[str]) -> Sequence[str]:
    """Raises `NotAllowed` for a word that is no role of this program."""
    known = {role.value for role in ROLES_AT[roster.program]}
    if not given or not set(given) <= known:
        raise NotAllowed(f"choose a role; the roles here are {', '.join(sorted(known))}")
    return given
