"""The entry of a deployment waits for the hub with those of the site's other acts, which say where it came to lie."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("deployments", "entry")


def downgrade() -> None:
    op.add_column("deployments", sa.Column("entry", sa.Integer(), nullable=False, server_default="0"))
