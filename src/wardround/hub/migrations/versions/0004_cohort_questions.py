"""Questions about cohorts and their answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "cohort_asks",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column(
            "project",
            sa.String(40),
            sa.ForeignKey("projects.id", name=op.f("fk_cohort_asks_project_projects")),
            nullable=True,
            index=True,
        ),
        sa.Column("asked_by", sa.String(80), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("by", sa.JSON(), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False, index=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort_asks")),
    )
    op.create_table(
        "cohort_replies",
        sa.Column(
            "ask",
            sa.String(16),
            sa.ForeignKey("cohort_asks.id", name=op.f("fk_cohort_replies_ask_cohort_asks")),
            nullable=False,
        ),
        sa.Column("site", sa.String(40), nullable=False),
        sa.Column("task", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("told_at", _TIME, nullable=True),
        sa.Column("about", sa.Integer(), nullable=True),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("ask", "site", name=op.f("pk_cohort_replies")),
    )


def downgrade() -> None:
    op.drop_table("cohort_replies")
    op.drop_table("cohort_asks")
