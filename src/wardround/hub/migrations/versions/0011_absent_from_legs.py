"""Which sites a leg does without, and why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run_legs", sa.Column("absent", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("run_legs") as legs:
        legs.drop_column("absent")
