"""A few numbers on each image that was read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worklist", sa.Column("image", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("worklist", "image")
