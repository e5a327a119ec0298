"""What sites tell of models that they judged on their own patients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evidence_summaries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(40), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("summary", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence_summaries")),
        sa.UniqueConstraint("site", "model", "plan", name=op.f("uq_evidence_summaries_site")),
    )
    op.create_index(op.f("ix_evidence_summaries_model"), "evidence_summaries", ["model"])


def downgrade() -> None:
    op.drop_index(op.f("ix_evidence_summaries_model"), table_name="evidence_summaries")
    op.drop_table("evidence_summaries")
