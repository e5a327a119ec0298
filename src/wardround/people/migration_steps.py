"""Steps of the hub's and the nodes' migrations for their people. A step that was released is never changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_TIME = sa.DateTime(timezone=True)
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def add_people() -> None:
    """Accounts, roles, recovery codes, sessions and what counts towards a lock-out."""
    op.create_table(
        "people",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("full_name", sa.String(length=120), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("made_by", sa.String(length=120), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=True),
        sa.Column("totp", sa.LargeBinary(), nullable=True),
        sa.Column("totp_offered", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("enrol_digest", sa.String(length=64), nullable=True),
        sa.Column("enrol_until", _TIME, nullable=True),
        sa.Column("removed_at", _TIME, nullable=True),
        sa.Column("removed_by", sa.String(length=120), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_people")),
    )
    op.create_table(
        "people_roles",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=30), nullable=False),
        sa.Column("project", sa.String(length=40), nullable=True),
        sa.Column("site", sa.String(length=40), nullable=True),
        sa.Column("given_at", _TIME, nullable=False),
        sa.Column("given_by", sa.String(length=120), nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("revoked_by", sa.String(length=120), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.name"], name=op.f("fk_people_roles_person_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people_roles")),
    )
    op.create_index(op.f("ix_people_roles_person"), "people_roles", ["person"], unique=False)
    op.create_table(
        "people_recovery_codes",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.name"], name=op.f("fk_people_recovery_codes_person_people")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_people_recovery_codes")),
    )
    op.create_index(op.f("ix_people_recovery_codes_person"), "people_recovery_codes", ["person"], unique=False)
    op.create_table(
        "people_sessions",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=80), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("ended_by", sa.String(length=120), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.name"], name=op.f("fk_people_sessions_person_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people_sessions")),
        sa.UniqueConstraint("digest", name=op.f("uq_people_sessions_digest")),
    )
    op.create_index(op.f("ix_people_sessions_person"), "people_sessions", ["person"], unique=False)
    op.create_table(
        "people_attempts",
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_people_attempts")),
    )
    op.create_index(op.f("ix_people_attempts_last_at"), "people_attempts", ["last_at"], unique=False)


def drop_people() -> None:
    """Undo `add_people`."""
    for table in ("people_attempts", "people_sessions", "people_recovery_codes", "people_roles", "people"):
        op.drop_table(table)
