"""Studies of the enclave that changed, for the health records; all that are there already are new to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "enclave_changes",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enclave_changes")),
    )
    op.execute("INSERT INTO enclave_changes (study_uid) SELECT uid FROM enclave_studies ORDER BY uid")


def downgrade() -> None:
    op.drop_table("enclave_changes")
