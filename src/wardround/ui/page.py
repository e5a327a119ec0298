"""One row of a program's table of pages: where it is, who may, and what answers.

To add a page: write a function that takes a `Visit` and gives a `Shown` (or, after a form, a `Moved`), put its template
beside it, and give it its row in the program's table (`node/pages/table.py`, `hub/pages/table.py`). The row's verb is
all that opens it; `tests/integration/test_pages_walked.py` then walks it as every role and as nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from wardround.foundation.errors import NotAllowed
from wardround.people.acting import Actor
from wardround.people.rights import Person, can_may, can_may_somewhere
from wardround.people.roster import Roster

LARGEST_FORM = 64 * 1024
"""Bytes of a form, but where a row says otherwise."""
ANYBODY = "anybody"
"""In the place of a verb: also who hasn't signed in."""
SIGNED_IN = "signed-in"
"""In the place of a verb: everybody who has signed in."""


class Scope(StrEnum):
    """What a page is about, as far as roles are given for one project.

    WHOLE: the program as a whole. PROJECT: the project that the address names as `{project}`. EACH: all projects, of
    which the page itself shows those that `Visit.may` allows.
    """

    WHOLE = "whole"
    PROJECT = "project"
    EACH = "each"


@dataclass(frozen=True, slots=True)
class Shown:
    """A page made of a template and its values. `widened`: what its content security policy allows beside ours."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    widened: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes as they are, for a page that shows them: a picture, a volume. `kind` is their media type (RFC 9110 section
    8.3.1). Like every answer it is kept by no cache."""

    content: bytes = field(repr=False)
    kind: str


@dataclass(frozen=True, slots=True)
class Moved:
    """After a form: go on to that address (RFC 9110 section 15.4.4). `session`: a session's token that begins, or empty
    where one ends."""

    to: str
    session: str | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Visit:
    """One call of a page by somebody who may. `form` and `query` have of each field what was sent, in order."""

    roster: Roster
    at: datetime
    source: str
    path: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    form: Mapping[str, tuple[str, ...]]
    token: str
    person: Person | None
    actor: Actor | None

    @property
    def by(self) -> Actor:
        """Who acts, for the audit; of a page that takes a verb there always is somebody."""
        if self.actor is None:
            raise NotAllowed("sign in first", code="not-signed-in")
        return self.actor

    @property
    def somebody(self) -> Person:
        """Who has signed in."""
        if self.person is None:
            raise NotAllowed("sign in first", code="not-signed-in")
        return self.person

    def may(self, verb: str, project: str | None = None) -> bool:
        """For a button that is shown or isn't; whoever gets it is asked again."""
        return self.person is not None and can_may(self.person, verb, project)

    def field(self, name: str) -> str:
        """A form's field without the blanks around it; empty where it wasn't sent."""
        return next(iter(self.form.get(name, ())), "").strip()

    def asked(self, name: str) -> str:
        """As `field`, of the address's query."""
        return next(iter(self.query.get(name, ())), "").strip()


@dataclass(frozen=True, slots=True)
class Page:
    """A row. `may`: a verb of `people.rights`, `ANYBODY` or `SIGNED_IN`. `place`: its word in the menu, empty where it
    isn't in it. `largest`: how many bytes its form may have."""

    method: Literal["GET", "POST"]
    path: str
    may: str
    answer: Callable[[Visit], Shown | Moved | Sent]
    scope: Scope = Scope.WHOLE
    place: str = ""
    largest: int = LARGEST_FORM

    def open_to(self, person: Person) -> bool:
        """Whether it is worth showing them the way there. Of a page about one project that is said by itself."""
        if self.may in (ANYBODY, SIGNED_IN):
            return True
        if self.scope is Scope.WHOLE:
            return can_may(person, self.may)
        return can_may_somewhere(person, self.may)
