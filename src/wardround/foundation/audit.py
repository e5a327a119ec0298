"""The shape of an audit row, the same at hub and node: who did what to what, and when."""

from __future__ import annotations

from datetime import datetime
from getpass import getuser
from os import getuid

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime

Key = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database gives; on SQLite only INTEGER is the row's own address."""


class AuditColumns:
    """Columns of a program's `audit` table. Rows are only ever added."""

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(String(120))
    verb: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(200))
    detail: Mapped[str] = mapped_column(Text)


def operator() -> str:
    """Who types at this machine: the operating system account's name, as an actor for the audit."""
    try:
        return f"os:{getuser()}"
    except (KeyError, OSError):
        return f"os:uid-{getuid()}"
