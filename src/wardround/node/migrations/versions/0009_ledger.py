"""The ledger: entries found by their time and hash, what settled it or stopped it, promises, entries that wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from wardround.ledger.migration_steps import add_settlement, drop_settlement

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_settlement()
    op.create_table(
        "ledger_outgoing",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("index", sa.Integer(), nullable=True),
        sa.Column("refused", sa.String(length=61), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_outgoing")),
    )


def downgrade() -> None:
    op.drop_table("ledger_outgoing")
    drop_settlement()
