"""Bearer tokens (RFC 6750) of viewers and senders: shown once, kept as digests, looked at in constant time."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import select

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.node import audit
from wardround.node.dicomweb.tables import WebToken
from wardround.node.receive.route import StudyPath

_NAME = re.compile(r"[a-z][a-z0-9-]{1,38}[a-z0-9]")
_PREFIX = "wrd_"


class Scope(StrEnum):
    """What a token is for: `read` searches and retrieves from the enclave, `store` stores to the front door, `work`
    sees and changes workitems, which name patients."""

    READ = "read"
    STORE = "store"
    WORK = "work"

    @property
    def words(self) -> str:
        return {Scope.READ: "reading", Scope.STORE: "storing", Scope.WORK: "workitems"}[self]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token a call carried. `path` is where what it stores leads; `kind` is `person` for a person's session."""

    name: str
    scope: Scope
    path: StudyPath
    kind: str = "token"

    @property
    def actor(self) -> str:
        return f"{self.kind}:{self.name}"


def make(
    database: Database,
    name: str,
    scope: Scope,
    *,
    actor: str,
    path: StudyPath = StudyPath.RESEARCH,
    clock: Clock = now,
) -> str:
    """Make a token and return it; nobody can show it again.

    Raises:
        NotAllowed: the name isn't 3 to 40 lower-case letters, digits and hyphens.
        Conflict: there is a token of that name.
    """
    if not _NAME.fullmatch(name):
        raise NotAllowed("a token's name has 3 to 40 lower-case letters, digits and hyphens, a letter first")
    token = _PREFIX + secrets.token_urlsafe(32)
    with database.writing() as session:
        if session.get(WebToken, name) is not None:
            raise Conflict(f"there is a token {name!r} already; revoke it, or choose another name")
        session.add(
            WebToken(name=name, digest=_digest(token), scope=scope, path=path.value, made_by=actor, made_at=clock())
        )
        audit.record(session, actor, "make-token", name, f"scope {scope}, path {path.value}", clock=clock)
    return token


def revoke(database: Database, name: str, *, actor: str, clock: Clock = now) -> None:
    """Let a token open nothing from the next call on. Its name stays taken.

    Raises:
        NotFound: there is none of that name, or it is revoked.
    """
    with database.writing() as session:
        token = session.get(WebToken, name)
        if token is None or token.revoked_at is not None:
            raise NotFound(f"there is no token {name!r} in force")
        token.revoked_at = clock()
        audit.record(session, actor, "revoke-token", name, clock=clock)


def listed(database: Database) -> list[WebToken]:
    """All tokens by name, the revoked ones too."""
    with database.reading() as session:
        return list(session.scalars(select(WebToken).order_by(WebToken.name)))


def caller(database: Database, header: str) -> Caller | None:
    """Whose token an Authorization header carries; None if nobody's."""
    scheme, _, token = header.partition(" ")
    digest = _digest(token.strip())
    found = None
    with database.reading() as session:
        for row in session.scalars(select(WebToken).where(WebToken.revoked_at.is_(None))):
            if hmac.compare_digest(row.digest, digest):
                found = Caller(row.name, Scope(row.scope), StudyPath(row.path))
    return found if scheme.lower() == "bearer" else None


def _digest(token: str) -> str:
    """256 random bits need no slow hash."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()
