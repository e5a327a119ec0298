"""Sites and how they join, the queue of tasks, the audit."""

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
        "sites",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("invited_at", _TIME, nullable=False),
        sa.Column("joined_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("revoked_reason", sa.String(length=400), nullable=True),
        sa.Column("ledger_verifier", sa.String(length=400), nullable=True),
        sa.Column("version", sa.String(length=40), nullable=True),
        sa.Column("certificate", sa.String(length=64), nullable=True),
        sa.Column("certificate_until", _TIME, nullable=True),
        sa.Column("next_certificate", sa.String(length=64), nullable=True),
        sa.Column("next_certificate_until", _TIME, nullable=True),
        sa.Column("heard_at", _TIME, nullable=True),
        sa.CheckConstraint("state IN ('invited', 'member', 'revoked')", name=op.f("ck_sites_state")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sites")),
    )
    op.create_table(
        "task_counter",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", _NUMBER, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_task_counter_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_counter")),
    )
    op.create_table(
        "invites",
        sa.Column("secret_digest", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=40), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        sa.Column("voided_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.name"], name=op.f("fk_invites_site_sites")),
        sa.PrimaryKeyConstraint("secret_digest", name=op.f("pk_invites")),
    )
    op.create_table(
        "issued_certificates",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=40), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("issued_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.name"], name=op.f("fk_issued_certificates_site_sites")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_issued_certificates")),
    )
    op.create_index(op.f("ix_issued_certificates_site"), "issued_certificates", ["site"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("site", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=61), nullable=True),
        sa.Column("reported_at", _TIME, nullable=True),
        sa.CheckConstraint("state IN ('queued', 'done', 'refused', 'failed')", name=op.f("ck_tasks_state")),
        sa.ForeignKeyConstraint(["site"], ["sites.name"], name=op.f("fk_tasks_site_sites")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_tasks")),
    )
    op.create_index("ix_tasks_site_number", "tasks", ["site", "number"], unique=False)
    op.execute("INSERT INTO task_counter (id, last) VALUES (1, 0)")


def downgrade() -> None:
    op.drop_index("ix_tasks_site_number", table_name="tasks")
    op.drop_table("tasks")
    op.drop_index(op.f("ix_issued_certificates_site"), table_name="issued_certificates")
    op.drop_table("issued_certificates")
    op.drop_table("invites")
    op.drop_table("task_counter")
    op.drop_table("sites")
    op.drop_table("audit")
