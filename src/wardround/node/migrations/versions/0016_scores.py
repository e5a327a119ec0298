"""What judged a model, by which metric, and what that needs of each patient; before, it could only be Dice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("rounds_done") as table:
        table.alter_column("dice", new_column_name="score", existing_type=sa.Double(), nullable=True)
        table.add_column(sa.Column("metric", sa.String(20), nullable=False, server_default="dice"))
    with op.batch_alter_table("judgements") as table:
        table.alter_column("dice", new_column_name="outcomes", existing_type=sa.JSON())
        table.add_column(sa.Column("metric", sa.String(20), nullable=False, server_default="dice"))
    for name in ("rounds_done", "judgements"):
        with op.batch_alter_table(name) as table:
            table.alter_column("metric", existing_type=sa.String(20), server_default=None)
    _rewrite(lambda value: [value])


def downgrade() -> None:
    for name in ("rounds_done", "judgements"):
        op.execute(f"DELETE FROM {name} WHERE metric <> 'dice'")  # noqa: S608 - our names
    op.execute("DELETE FROM rounds_done WHERE score IS NULL")
    _rewrite(lambda value: value[0])
    with op.batch_alter_table("judgements") as table:
        table.drop_column("metric")
        table.alter_column("outcomes", new_column_name="dice", existing_type=sa.JSON())
    with op.batch_alter_table("rounds_done") as table:
        table.drop_column("metric")
        table.alter_column("score", new_column_name="dice", existing_type=sa.Double(), nullable=False)


def _rewrite(change: Callable[[Any], Any]) -> None:
    """Change what is kept of each patient."""
    rows = sa.table("judgements", sa.column("id", sa.Integer), sa.column("outcomes", sa.JSON))
    connection = op.get_bind()
    for number, kept in connection.execute(sa.select(rows.c.id, rows.c.outcomes)).all():
        outcomes = json.loads(kept) if isinstance(kept, str) else kept
        told = {name: change(value) for name, value in outcomes.items()}
        connection.execute(sa.update(rows).where(rows.c.id == number).values(outcomes=told))
