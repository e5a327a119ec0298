"""What projects spent of what they may tell of any one patient here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wardround.foundation.columns import UtcTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "privacy_charges",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("lesson", sa.String(64), nullable=False),
        sa.Column("run", sa.String(40), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("noise_multiplier", sa.Double(), nullable=False),
        sa.Column("sample_rate", sa.Double(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("epsilon", sa.Double(), nullable=False),
        sa.Column("delta", sa.Double(), nullable=False),
        sa.Column("update", sa.String(64), nullable=True),
        sa.Column("charged_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_privacy_charges")),
        sa.UniqueConstraint("lesson", name=op.f("uq_privacy_charges_lesson")),
    )
    op.create_index(op.f("ix_privacy_charges_project"), "privacy_charges", ["project"])


def downgrade() -> None:
    op.drop_table("privacy_charges")
