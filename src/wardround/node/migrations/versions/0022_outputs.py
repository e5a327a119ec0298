"""What readings gave out, document by document, and where each got to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outputs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("file", sa.String(length=120), nullable=True),
        sa.Column("sop_class", sa.String(length=64), nullable=False),
        sa.Column("sop_instance", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("transaction_uid", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["line"], ["worklist.id"], name=op.f("fk_outputs_line_worklist")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outputs")),
    )
    op.create_index(op.f("ix_outputs_line"), "outputs", ["line"], unique=False)
    op.create_index(op.f("ix_outputs_transaction_uid"), "outputs", ["transaction_uid"], unique=False)
    # A result that waited for the PACS when the node was upgraded waits on.
    op.execute(
        "INSERT INTO outputs (line, kind, file, sop_class, sop_instance, state, reason, attempts, due_at) "
        "SELECT id, 'seg', result, '1.2.840.10008.5.1.4.1.1.66.4', coalesce(result_uid, ''), 'waiting', '', 0, "
        "coalesce(read_at, arrived_at) FROM worklist WHERE state = 'read' AND result IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_table("outputs")
