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


ATTRIBUTES: Attributes = {"path": "/", "secure": True, "httponly": True, "samesite": "strict"}


def cookie_name(program: Program) -> str:
    """The prefix makes browsers insist on HTTPS, this very host and the path `/` (RFC 6265bis section 4.1.3.2)."""
    return f"__Host-wardround-{program.value}"


def form_token(token: str) -> str:
    """What each form of a session carries in a hidden field; nobody gets from it to the session's token."""
    return hmac.new(token.encode(), b"wardround form", sha256).hexdigest()


def is_form_token(token: str, given: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_token(token).encode(), given.encode())
