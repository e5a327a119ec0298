"""What people write about models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("written_by", sa.String(120), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_texts")),
    )
    op.create_index(op.f("ix_model_texts_model"), "model_texts", ["model"])


def downgrade() -> None:
    op.drop_index(op.f("ix_model_texts_model"), table_name="model_texts")
    op.drop_table("model_texts")
