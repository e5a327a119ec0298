"""How a page carries a session: a cookie that no script and no other site can use, and a token against forged forms."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Literal, TypedDict

from wardround.people.roles import Program


class Attributes(TypedDict):
    """As Starlette's `Response.set_cookie` takes them."""

    path: str
    secure: bool
    httponly: bool
    samesite: Literal["strict"]


def attributes(*, secure: bool) -> Attributes:
    """How a session's cookie is set. `secure`: over HTTPS alone, as everywhere but on this machine's own loopback."""
    return {"path": "/", "secure": secure, "httponly": True, "samesite": "strict"}


def cookie_name(program: Program, place: str, *, secure: bool) -> str:
    """A name of this program's own: cookies reach every port of a host, and several programs may share one.

    The prefix makes browsers insist on HTTPS, this very host and the path `/` (RFC 6265bis section 4.1.3.2).
    """
    name = f"wardround-{program.value}-{place}"
    return f"__Host-{name}" if secure else name


def form_token(token: str) -> str:
    """What each form of a session carries in a hidden field; nobody gets from it to the session's token."""
    return hmac.new(token.encode(), b"wardround form", sha256).hexdigest()


def is_form_token(token: str, given: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_token(token).encode(), given.encode())
