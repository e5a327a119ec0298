"""The ledger: entries found by their time and hash, how far a quorum settled it, what stopped a mirror, promises."""

from __future__ import annotations

from wardround.ledger.migration_steps import add_settlement, drop_settlement

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_settlement()


def downgrade() -> None:
    drop_settlement()
