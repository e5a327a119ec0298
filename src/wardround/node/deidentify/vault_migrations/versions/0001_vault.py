"""The vault: sealed identities and the check of its key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vault_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("check", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vault_key"),
    )
    op.create_table(
        "vault_entries",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("nonce", sa.LargeBinary(12), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "pseudonym", name="pk_vault_entries"),
    )
    op.create_index("ix_vault_entries_pseudonym", "vault_entries", ["pseudonym"])


def downgrade() -> None:
    op.drop_table("vault_entries")
    op.drop_table("vault_key")
