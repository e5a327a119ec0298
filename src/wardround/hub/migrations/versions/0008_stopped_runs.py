"""A stopped run can be resumed; those that were stopped when they couldn't be are ended."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE runs SET state = 'ended' WHERE state = 'stopped'")


def downgrade() -> None:
    op.execute("UPDATE runs SET state = 'stopped' WHERE state = 'ended'")
