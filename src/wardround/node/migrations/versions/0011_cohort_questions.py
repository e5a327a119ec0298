"""Questions about cohorts, their answers and their budget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "cohort_questions",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("ask", sa.String(16), nullable=False, index=True),
        sa.Column("asked_by", sa.String(80), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("by", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(61), nullable=True),
        sa.Column("told", sa.JSON(), nullable=True),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=True),
        sa.Column("near", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "outcome IN ('asked', 'told', 'repeated', 'refused')", name=op.f("ck_cohort_questions_outcome")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort_questions")),
    )
    op.create_index("ix_cohort_questions_asker", "cohort_questions", ["asked_by", "project", "at"])


def downgrade() -> None:
    op.drop_table("cohort_questions")
