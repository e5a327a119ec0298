"""Which earlier study was read beside each, and how much earlier it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worklist", sa.Column("prior", sa.String(32), nullable=True))
    op.add_column("worklist", sa.Column("prior_days", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("worklist", "prior_days")
    op.drop_column("worklist", "prior")
