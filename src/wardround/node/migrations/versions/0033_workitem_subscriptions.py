"""Who is told of workitems, and what waits to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workitem_watches",
        sa.Column("token", sa.String(40), nullable=False),
        sa.Column("title", sa.String(16), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token", "title", "resource", name=op.f("pk_workitem_watches")),
    )
    op.create_table(
        "workitem_subscriptions",
        sa.Column("workitem", sa.String(64), nullable=False),
        sa.Column("token", sa.String(40), nullable=False),
        sa.Column("title", sa.String(16), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["workitem"], ["workitems.uid"], name=op.f("fk_workitem_subscriptions_workitem_workitems")
        ),
        sa.PrimaryKeyConstraint("workitem", "token", "title", name=op.f("pk_workitem_subscriptions")),
    )
    op.create_table(
        "workitem_reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("workitem", sa.String(64), nullable=False),
        sa.Column("token", sa.String(40), nullable=False),
        sa.Column("title", sa.String(16), nullable=False),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["workitem"], ["workitems.uid"], name=op.f("fk_workitem_reports_workitem_workitems")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workitem_reports")),
    )
    op.create_index(op.f("ix_workitem_reports_token"), "workitem_reports", ["token"])


def downgrade() -> None:
    op.drop_index(op.f("ix_workitem_reports_token"), table_name="workitem_reports")
    op.drop_table("workitem_reports")
    op.drop_table("workitem_subscriptions")
    op.drop_table("workitem_watches")
