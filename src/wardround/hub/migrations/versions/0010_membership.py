"""How well a model betrays whom it was trained on, as a hospital found it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run_evaluations", sa.Column("membership", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("run_evaluations") as judged:
        judged.drop_column("membership")
