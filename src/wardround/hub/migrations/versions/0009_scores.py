"""Models are judged by the plan's metric, whatever it is; what could only be a Dice is a score, and may be untold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_RENAMED = (("runs", "best_dice", "best_score"), ("run_rounds", "dice", "score"), ("run_round_sites", "dice", "score"))


def upgrade() -> None:
    for table, old, new in _RENAMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    with op.batch_alter_table("run_evaluations") as judged:
        judged.alter_column("mean_dice", new_column_name="score", existing_type=sa.Double(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM run_evaluations WHERE score IS NULL")
    with op.batch_alter_table("run_evaluations") as judged:
        judged.alter_column("score", new_column_name="mean_dice", existing_type=sa.Double(), nullable=False)
    for table, old, new in _RENAMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
