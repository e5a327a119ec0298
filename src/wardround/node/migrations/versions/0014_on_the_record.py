"""Uses of data with their ledger entries, looks behind pseudonyms with theirs, and models that were suspended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "data_uses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.Integer(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=True),
        sa.Column("begun_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_uses")),
        sa.UniqueConstraint("run", "purpose", "round", "model", "manifest", name=op.f("uq_data_uses_run")),
    )
    op.create_table(
        "reidentifications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pseudonym", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("record", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reidentifications")),
    )
    op.create_index(op.f("ix_reidentifications_pseudonym"), "reidentifications", ["pseudonym"], unique=False)
    op.add_column("deployments", sa.Column("suspended_at", _TIME, nullable=True))
    op.add_column("deployments", sa.Column("suspended_by", sa.String(length=120), nullable=True))
    op.add_column("deployments", sa.Column("suspended_for", sa.String(length=61), nullable=True))


def downgrade() -> None:
    for column in ("suspended_for", "suspended_by", "suspended_at"):
        with op.batch_alter_table("deployments") as batch:
            batch.drop_column(column)
    op.drop_index(op.f("ix_reidentifications_pseudonym"), table_name="reidentifications")
    op.drop_table("reidentifications")
    op.drop_table("data_uses")
