"""Who calls: a person who signed in, by the token of their session; and one-time addresses for what carries none."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass

from wardround.foundation.errors import NotAllowed
from wardround.node.dicomweb.failure import WebFailure
from wardround.people.acting import Actor, acting_as
from wardround.people.rights import MayNot, Person
from wardround.people.roster import Roster
from wardround.people.sessions import NotSignedIn, sign_out
from wardround.people.sign_in import SignedIn, sign_in

VERB = "annotate-images"
TICKET_SECONDS = 600.0
_MOST_TICKETS = 10_000
_WITH_CODE = re.compile(r"(.*)[ ,]([0-9]{6})", re.DOTALL)
_MARK = "~"


@dataclass(frozen=True, slots=True)
class Caller:
    actor: Actor
    person: Person


class Callers:
    """Opens the door to people of `roster` who may annotate."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def sign_in(self, name: str, password: str, source: str) -> SignedIn:
        """Begin a session. Clients have two fields, so that the code of the second factor stands after the password,
        with a space or a comma between.

        Raises:
            WebFailure: 401, it isn't right, or too many were wrong before; which, isn't told.
        """
        parted = _WITH_CODE.fullmatch(password)
        password, code = parted.groups() if parted else (password, "")
        try:
            signed = sign_in(self._roster, name, password, code, source=source)
        except NotAllowed:
            raise WebFailure(401, "name, password or code is wrong, or too many were: PASSWORD CODE") from None
        try:
            self.caller(f"Bearer {signed.token}")
        except WebFailure:
            sign_out(self._roster, signed.token)
            raise
        return signed

    def caller(self, header: str) -> Caller:
        """Whose session an Authorization header carries.

        Raises:
            WebFailure: 401, nobody's; 403, somebody's who may not annotate.
        """
        # 1. A bearer token, and nothing else. 2. Of a session that goes on. 3. Of somebody who may, at this moment.
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise WebFailure(401, "sign in first")
        try:
            actor, person = acting_as(self._roster, token.strip(), VERB)
        except NotSignedIn:
            raise WebFailure(401, "this session has ended; sign in again") from None
        except MayNot:
            raise WebFailure(403, "this takes the role radiologist; an operator gives it") from None
        return Caller(actor, person)


class Tickets:
    """A ticket opens one image once, for who was given the case and has a client that sends no header with a download.

    It stands in the image's name, `<series>~<ticket>`, from which clients build the address. In memory alone: after a
    restart the case is asked for again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[str, Actor, float]] = {}

    def name(self, series: str, actor: Actor) -> str:
        """The series' name with a new ticket of `actor`'s in it."""
        ticket = secrets.token_urlsafe(24).replace(_MARK, "-")
        until = time.monotonic() + TICKET_SECONDS
        with self._lock:
            if len(self._open) >= _MOST_TICKETS:
                oldest = min(self._open, key=lambda one: self._open[one][2])
                del self._open[oldest]
            self._open[ticket] = (series, actor, until)
        return f"{series}{_MARK}{ticket}"

    def spend(self, name: str) -> tuple[str, Actor] | None:
        """The series that a name's ticket opens, and whose it was; None where it opens nothing, or did already."""
        series, _, ticket = name.partition(_MARK)
        with self._lock:
            kept = self._open.pop(ticket, None) if ticket else None
        if kept is None or time.monotonic() > kept[2] or not hmac.compare_digest(kept[0], series):
            return None
        return kept[0], kept[1]


def series_of(name: str) -> str:
    """The name without a ticket."""
    return name.partition(_MARK)[0]
