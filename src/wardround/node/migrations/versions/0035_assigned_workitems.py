"""Which station is to do a task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workitems", sa.Column("assigned", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("workitems", "assigned")
