"""Membership, the egress log, tasks taken and reports to hand in, the audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("verb", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "egress",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("project", sa.String(length=40), nullable=True),
        sa.Column("run", sa.String(length=40), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=61), nullable=True),
        sa.Column("answer_bytes", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "outcome IN ('sending', 'sent', 'carried', 'refused', 'unanswered', 'unreachable', 'untrusted')",
            name=op.f("ck_egress_outcome"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_egress")),
    )
    op.create_index(op.f("ix_egress_kind"), "egress", ["kind"], unique=False)
    op.create_index(op.f("ix_egress_project"), "egress", ["project"], unique=False)
    op.create_table(
        "membership",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("site", sa.String(length=40), nullable=False),
        sa.Column("federation", sa.String(length=40), nullable=False),
        sa.Column("joined_at", _TIME, nullable=False),
        sa.Column("root_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("hub_ledger_verifier", sa.String(length=400), nullable=False),
        sa.Column("certificate_until", _TIME, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_membership_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_membership")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("attachment", sa.String(length=64), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.Column("refused", sa.String(length=61), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_sent_at"), "outbox", ["sent_at"], unique=False)
    op.create_table(
        "tasks_taken",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("taken_at", _TIME, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=61), nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.CheckConstraint("state IN ('taken', 'done', 'refused', 'failed')", name=op.f("ck_tasks_taken_state")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_tasks_taken")),
    )
    op.create_index(op.f("ix_tasks_taken_state"), "tasks_taken", ["state"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_tasks_taken_state"), table_name="tasks_taken")
    op.drop_table("tasks_taken")
    op.drop_index(op.f("ix_outbox_sent_at"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("membership")
    op.drop_index(op.f("ix_egress_project"), table_name="egress")
    op.drop_index(op.f("ix_egress_kind"), table_name="egress")
    op.drop_table("egress")
    op.drop_table("audit")
