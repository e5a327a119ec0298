"""The front door: which series were tried as volumes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enclave_trials",
        sa.Column(
            "series_uid",
            sa.String(64),
            sa.ForeignKey("enclave_series.uid", name="fk_enclave_trials_series_uid_enclave_series"),
            nullable=False,
        ),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("series_uid", name="pk_enclave_trials"),
    )


def downgrade() -> None:
    op.drop_table("enclave_trials")
