"""The pages that every program has: sign in and out, enrol with a code, one's own account, and light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

from wardround.foundation.errors import NotAllowed
from wardround.people import accounts, sessions
from wardround.people.grants import in_words
from wardround.people.sign_in import change_password, sign_in
from wardround.ui.page import ANYBODY, SIGNED_IN, Moved, Page, Shown, Visit

LOOK = "wardround-look"
"""The cookie that keeps whether somebody wants it light or dark; it says nothing else."""
LOOKS = ("auto", "light", "dark")


def pages(others: Sequence[Page]) -> tuple[Page, ...]:
    """Their rows. Whoever signs in without a wish is led to the first of `others` that they may see."""
    return (
        Page("GET", "/", SIGNED_IN, partial(_first, others)),
        Page("GET", "/sign-in", ANYBODY, _asked_in),
        Page("POST", "/sign-in", ANYBODY, _signs_in),
        Page("POST", "/sign-out", SIGNED_IN, _signs_out),
        Page("GET", "/enrol", ANYBODY, lambda visit: Shown("enrol.html", {"fault": ""})),
        Page("POST", "/enrol", ANYBODY, _takes_code),
        Page("POST", "/enrol/done", ANYBODY, _enrols),
        Page("GET", "/account", SIGNED_IN, _account),
        Page("POST", "/account/password", SIGNED_IN, _changes_password),
        Page("POST", "/look", ANYBODY, _looks),
    )


def local(address: str) -> str:
    """An address of this program itself, or `/`: nobody is led elsewhere by a link that begins here."""
    parts = urlsplit(address)
    plain = address.isprintable() and "\\" not in address and not parts.scheme and not parts.netloc
    return address if plain and address.startswith("/") and not address.startswith("//") else "/"


def _first(others: Sequence[Page], visit: Visit) -> Shown | Moved:
    for page in others:
        if page.place and page.open_to(visit.somebody):
            return Moved(page.path)
    return Shown("nothing.html")


def _asked_in(visit: Visit) -> Shown | Moved:
    wish = local(visit.asked("next"))
    if visit.person is not None:
        return Moved(wish)
    return Shown("sign_in.html", {"fault": "", "name": "", "next": wish, "nobody_yet": visit.roster.empty()})


def _signs_in(visit: Visit) -> Shown | Moved:
    name, wish = visit.field("name"), local(visit.field("next"))
    try:
        signed = sign_in(
            visit.roster,
            name,
            _typed(visit, "password"),
            visit.field("code"),
            source=visit.source,
            replaces=visit.token,
        )
    except NotAllowed as refusal:
        values = {"fault": str(refusal), "name": name, "next": wish, "nobody_yet": visit.roster.empty()}
        return Shown("sign_in.html", values, 403)
    return Moved(wish, session=signed.token)


def _signs_out(visit: Visit) -> Moved:
    sessions.sign_out(visit.roster, visit.token)
    return Moved("/sign-in", session="")


def _takes_code(visit: Visit) -> Shown:
    return _offers(visit, visit.field("name"), visit.field("code"))


def _enrols(visit: Visit) -> Shown:
    name, code, first = visit.field("name"), visit.field("code"), visit.field("first")
    password, again = (_typed(visit, each) for each in ("password", "again"))
    try:
        if password != again:
            raise NotAllowed("the two passwords aren't the same; type both again")
        recovery = accounts.enrol(visit.roster, name, code, password, first, source=visit.source)
    except NotAllowed as refusal:
        return _offers(visit, name, code, fault=str(refusal))
    return Shown("enrolled.html", {"name": name, "recovery": recovery})


def _offers(visit: Visit, name: str, code: str, *, fault: str = "") -> Shown:
    """A secret for the telephone, a new one each time: none is kept in a page."""
    try:
        offer = accounts.offer_codes(visit.roster, name, code, source=visit.source)
    except NotAllowed as refusal:
        return Shown("enrol.html", {"fault": fault or str(refusal)}, 403)
    return Shown(
        "enrol_secret.html", {"fault": fault, "name": name, "code": code, "offer": offer}, 403 if fault else 200
    )


def _account(visit: Visit, fault: str = "", done: str = "") -> Shown:
    person = visit.somebody
    values = {
        "fault": fault,
        "done": done or visit.asked("done"),
        "roles": sorted(in_words(grant) for grant in person.grants),
        "sessions": [row for row in sessions.going_on(visit.roster) if row.person == person.name],
    }
    return Shown("account.html", values, 403 if fault else 200)


def _changes_password(visit: Visit) -> Shown | Moved:
    current, new, again = (_typed(visit, each) for each in ("current", "password", "again"))
    try:
        if new != again:
            raise NotAllowed("the two new passwords aren't the same; type them again")
        change_password(visit.roster, visit.somebody, current, new, source=visit.source)
    except NotAllowed as refusal:
        return _account(visit, fault=str(refusal))
    return Moved("/account?done=password")


def _looks(visit: Visit) -> Moved:
    wanted = visit.field("look")
    cookies = {LOOK: wanted} if wanted in LOOKS else {}
    return Moved(local(visit.field("back")), cookies=cookies)


def _typed(visit: Visit, name: str) -> str:
    """A password as it was typed, blanks and all."""
    return next(iter(visit.form.get(name, ())), "")
