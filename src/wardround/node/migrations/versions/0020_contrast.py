"""The contrast of each image that a model read, by which a change of scanner shows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worklist", sa.Column("contrast", sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("worklist") as batch:
        batch.drop_column("contrast")
