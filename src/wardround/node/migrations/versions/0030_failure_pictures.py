"""A picture of each patient whom a model failed on most."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("validation_cases", sa.Column("picture", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("validation_cases", "picture")
