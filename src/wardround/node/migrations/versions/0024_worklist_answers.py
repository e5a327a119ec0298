"""Deadlines and what a model told on the worklist, and what people answer to it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def _columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("priority", sa.String(length=10), nullable=False, server_default="routine"),
        sa.Column("definition", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("read_as", sa.String(length=20), nullable=False, server_default=""),
    )


def upgrade() -> None:
    with op.batch_alter_table("worklist") as batch:
        for column in _columns():
            batch.add_column(column)
    op.execute("UPDATE worklist SET value = volume_ml")
    op.execute(sa.text("UPDATE worklist SET flagged = :yes WHERE volume_ml > 0").bindparams(yes=True))
    stage = "(SELECT deployments.stage FROM deployments WHERE deployments.id = worklist.deployment)"
    op.execute(f"UPDATE worklist SET read_as = {stage} WHERE read_at IS NOT NULL")  # noqa: S608 - it is the text above
    op.create_table(
        "worklist_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=True),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("label", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["line"], ["worklist.id"], name=op.f("fk_worklist_answers_line_worklist")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worklist_answers")),
    )
    op.create_index(op.f("ix_worklist_answers_line"), "worklist_answers", ["line"], unique=False)


def downgrade() -> None:
    op.drop_table("worklist_answers")
    with op.batch_alter_table("worklist") as batch:
        for column in _columns():
            batch.drop_column(column.name)
