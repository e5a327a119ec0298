"""Where a program keeps its people, on SQLite or PostgreSQL. Both programs have the same tables, each its own rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Integer, LargeBinary, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from wardround.foundation.audit import Key
from wardround.foundation.columns import UtcTime


class PeopleTable(DeclarativeBase):
    """A table of people; constraints are named, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Account(PeopleTable):
    """Somebody's account. Rows stay for good: a name that acted is never given to another person.

    Without `password` the account isn't enrolled yet. `totp` and `totp_offered` are sealed; `totp_step` is the last
    time step whose code was taken.
    """

    __tablename__ = "people"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    full_name: Mapped[str] = mapped_column(String(120))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    made_by: Mapped[str] = mapped_column(String(120))
    password: Mapped[str | None] = mapped_column(String(255))
    totp: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_offered: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0)
    enrol_digest: Mapped[str | None] = mapped_column(String(64))
    enrol_until: Mapped[datetime | None] = mapped_column(UtcTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    removed_by: Mapped[str | None] = mapped_column(String(120))


class RoleGrant(PeopleTable):
    """A role that somebody was given, and whether it was taken away again."""

    __tablename__ = "people_roles"

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=True)
    person: Mapped[str] = mapped_column(ForeignKey("people.name"), index=True)
    role: Mapped[str] = mapped_column(String(30))
    project: Mapped[str | None] = mapped_column(String(40))
    site: Mapped[str | None] = mapped_column(String(40))
    given_at: Mapped[datetime] = mapped_column(UtcTime)
    given_by: Mapped[str] = mapped_column(String(120))
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_by: Mapped[str | None] = mapped_column(String(120))


class RecoveryCode(PeopleTable):
    """One of somebody's recovery codes, as a digest."""

    __tablename__ = "people_recovery_codes"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    person: Mapped[str] = mapped_column(ForeignKey("people.name"), index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)


class SignIn(PeopleTable):
    """A session. `id` is what people call it by; of its token only a digest is kept."""

    __tablename__ = "people_sessions"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    person: Mapped[str] = mapped_column(ForeignKey("people.name"), index=True)
    source: Mapped[str] = mapped_column(String(80))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    seen_at: Mapped[datetime] = mapped_column(UtcTime)
    ends_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    ended_by: Mapped[str | None] = mapped_column(String(120))


class Attempts(PeopleTable):
    """Sign-ins in a row that weren't right yet, of one name or from one source, each under a keyed digest."""

    __tablename__ = "people_attempts"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    until: Mapped[datetime | None] = mapped_column(UtcTime)
