"""What each site's patients make the statistics of a merged model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_statistics",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("site", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_run_statistics_run_runs"),
        sa.PrimaryKeyConstraint("id", name="pk_run_statistics"),
        sa.UniqueConstraint("run", "site", "model", name="uq_run_statistics_run"),
    )


def downgrade() -> None:
    op.drop_table("run_statistics")
