"""A hub's or a node's people in a database of their own, with a clock that the test moves and hashes that are cheap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher
from sqlalchemy import select

from wardround.foundation.database import Database
from wardround.hub import audit as hub_audit
from wardround.node import audit as node_audit
from wardround.people import accounts, totp
from wardround.people.grants import scoped
from wardround.people.password import Passwords
from wardround.people.roles import Program, Role
from wardround.people.roster import Roster
from wardround.people.settings import PeopleSettings
from wardround.people.sign_in import SignedIn, sign_in

GOOD = "fjord gnome quilt"
OWNER = "os:anna"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class CountedPasswords(Passwords):
    """Counts the hashes that are computed."""

    def __init__(self, hasher: PasswordHasher = CHEAP) -> None:
        super().__init__(hasher)
        self.computed = 0

    def hash(self, password: str) -> str:
        self.computed += 1
        return super().hash(password)

    def matches(self, kept: str, password: str) -> bool:
        self.computed += 1
        return super().matches(kept, password)


class PeopleLab:
    """One program's roster, and a telephone for everybody."""

    def __init__(
        self,
        folder: Path,
        url: str = "",
        program: Program = Program.NODE,
        place: str = "north",
        settings: PeopleSettings | None = None,
    ) -> None:
        self.moment = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.passwords = CountedPasswords()
        self.audit = node_audit.Audit if program == Program.NODE else hub_audit.Audit
        record = node_audit.record if program == Program.NODE else hub_audit.record
        self.database = Database(
            url or f"sqlite:///{folder / f'{program}.db'}", migrations=f"wardround.{program}.migrations"
        )
        self.roster = Roster(
            self.database,
            program,
            place,
            folder / f"{program}-people.key",
            record,
            settings,
            clock=lambda: self.moment,
            passwords=lambda: self.passwords,
        ).upgraded()
        self.telephones: dict[str, str] = {}

    def later(self, **time: float) -> None:
        self.moment += timedelta(**time)

    def invite(self, name: str, *roles: Role, project: str | None = None, actor: str = OWNER) -> str:
        given = [scoped(self.roster, role, project) for role in roles or (Role.OPERATOR,)]
        return accounts.add(self.roster, name, "", given, actor=actor)[0]

    def enrol(self, name: str, code: str, password: str = GOOD) -> tuple[str, ...]:
        self.telephones[name] = accounts.offer_codes(self.roster, name, code, source="desk").secret
        codes = accounts.enrol(self.roster, name, code, password, self.code(name), source="desk")
        self.later(seconds=totp.STEP_SECONDS)
        return codes

    def person(self, name: str, *roles: Role, project: str | None = None, actor: str = OWNER) -> tuple[str, ...]:
        """Somebody who is enrolled; gives their recovery codes."""
        return self.enrol(name, self.invite(name, *roles, project=project, actor=actor))

    def code(self, name: str, steps: int = 0) -> str:
        return totp.code_of(self.telephones[name], totp.step_at(self.moment) + steps)

    def wrong_code(self, name: str) -> str:
        right = {self.code(name, steps) for steps in (-1, 0, 1)}
        return next(code for code in ("000000", "000001", "000002", "000003") if code not in right)

    def sign_in(self, name: str, password: str = GOOD, source: str = "desk") -> SignedIn:
        signed = sign_in(self.roster, name, password, self.code(name), source=source)
        self.later(seconds=totp.STEP_SECONDS)
        return signed

    def audited(self, *verbs: str) -> list[tuple[str, str, str]]:
        """Actor, verb and subject of the audit's rows, those of `verbs` if any are given."""
        with self.database.reading() as session:
            rows = session.execute(
                select(self.audit.actor, self.audit.verb, self.audit.subject).order_by(self.audit.id)
            ).all()
        return [(actor, verb, subject) for actor, verb, subject in rows if not verbs or verb in verbs]

    def close(self) -> None:
        self.database.close()
