"""Outlines as radiologists corrected them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worklist_answers", sa.Column("outline", sa.String(200), nullable=True))
    op.add_column("worklist_answers", sa.Column("overlap", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("worklist_answers", "overlap")
    op.drop_column("worklist_answers", "outline")
