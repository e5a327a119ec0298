"""The people of one program: where they are kept and what their accounts hang on. Others act through it."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import WardroundError
from wardround.foundation.sealing import NotOpened, Sealer, key_at
from wardround.people.roles import Program
from wardround.people.settings import PeopleSettings
from wardround.people.tables import Account

if TYPE_CHECKING:
    from wardround.people.password import Passwords


class Recorder(Protocol):
    """Adds a row to a program's audit, in the caller's transaction."""

    def __call__(
        self, session: Session, actor: str, verb: str, subject: str, detail: str = "", *, clock: Clock = now
    ) -> None: ...


class PeopleDamaged(WardroundError):
    """The key under which codes are kept isn't the one that they were kept under."""

    code = "people-damaged"


def _passwords() -> Passwords:
    from wardround.people.password import Passwords

    return Passwords()


class Roster:
    """Accounts, grants and sessions of one program at one place.

    Args:
        database: the program's own; `upgraded` brings one of an older version up to date.
        place: the site, or at the hub the federation.
        key_file: 32 bytes that its owner alone reads; made on first use.
        passwords: gives what hashes passwords, when it is first needed.
    """

    def __init__(
        self,
        database: Database,
        program: Program,
        place: str,
        key_file: Path,
        record: Recorder,
        settings: PeopleSettings | None = None,
        *,
        clock: Clock = now,
        passwords: Callable[[], Passwords] = _passwords,
    ) -> None:
        self.database = database
        self.program = program
        self.place = place
        self.settings = settings or PeopleSettings()
        self.clock = clock
        self._record = record
        self._key_file = key_file
        self._passwords = passwords

    @cached_property
    def passwords(self) -> Passwords:
        return self._passwords()

    def upgraded(self) -> Roster:
        """This roster, its database brought to the newest version if it has no people yet."""
        if not inspect(self.database.engine).has_table(Account.__tablename__):
            self.database.upgrade()
        return self

    def empty(self) -> bool:
        """Whether no account was ever made here, so that the operating system's accounts act."""
        with self.database.reading() as session:
            return session.scalar(select(Account.name).limit(1)) is None

    def digest(self, kind: str, secret: str) -> str:
        """What is kept of a secret, or of a name that may be one: keyed, and bound to this program and place."""
        text = "\0".join((self.program, self.place, kind, secret))
        return hmac.new(self._key, text.encode(), sha256).hexdigest()

    def seal(self, name: str, secret: str) -> bytes:
        """A secret of the person called `name`, for keeping."""
        return self._sealer.seal(secret.encode(), self._bound(name))

    def unseal(self, name: str, sealed: bytes) -> str:
        """What was sealed for `name`.

        Raises:
            PeopleDamaged: the key is another one.
        """
        try:
            return self._sealer.open(bytes(sealed), self._bound(name)).decode()
        except NotOpened:
            raise PeopleDamaged(
                f"{self._key_file.name} isn't the key under which people's codes were kept; restore it from the "
                "backup of the home's identity folder"
            ) from None

    def record(self, session: Session, actor: str, verb: str, subject: str, detail: str = "") -> None:
        """Add a row to the program's audit in the caller's transaction."""
        self._record(session, actor, verb, subject, detail, clock=self.clock)

    @cached_property
    def _key(self) -> bytes:
        return key_at(self._key_file)

    @cached_property
    def _sealer(self) -> Sealer:
        return Sealer(self._key)

    def _bound(self, name: str) -> bytes:
        return "\0".join((self.program, self.place, "totp", name)).encode()
