"""Which sums of masked updates this hospital helped to unmask."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "masked_sums",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(40), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("edition", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("survivors", sa.JSON(), nullable=False),
        sa.Column("revealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_masked_sums")),
    )
    op.create_index(op.f("ix_masked_sums_run"), "masked_sums", ["run"])
    op.create_index(op.f("ix_masked_sums_model"), "masked_sums", ["model"])


def downgrade() -> None:
    op.drop_table("masked_sums")
