"""Workitems for other systems of the hospital."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workitems",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("study", sa.String(32), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("scheme", sa.String(16), nullable=False),
        sa.Column("meaning", sa.String(64), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("priority", sa.String(6), nullable=False),
        sa.Column("state", sa.String(11), nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=True),
        sa.Column("performed", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("made_by", sa.String(120), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["line"], ["worklist.id"], name=op.f("fk_workitems_line_worklist")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_workitems")),
        sa.UniqueConstraint("line", name=op.f("uq_workitems_line")),
    )
    op.create_index(op.f("ix_workitems_study"), "workitems", ["study"])
    op.create_index(op.f("ix_workitems_state"), "workitems", ["state"])


def downgrade() -> None:
    op.drop_index(op.f("ix_workitems_state"), table_name="workitems")
    op.drop_index(op.f("ix_workitems_study"), table_name="workitems")
    op.drop_table("workitems")
