"""Projects that end for everybody; what sites' decisions say: answer, last moment, limits, reason."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("projects", sa.Column("withdrawn_by", sa.String(120), nullable=True))
    op.add_column("projects", sa.Column("withdrawn_at", _TIME, nullable=True))
    op.add_column("projects", sa.Column("withdrawn_reason", sa.String(61), nullable=True))
    with op.batch_alter_table("project_decisions") as table:
        table.add_column(sa.Column("answer", sa.String(10), nullable=True))
        table.add_column(sa.Column("until", _TIME, nullable=True))
        table.add_column(sa.Column("limits", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("reason", sa.String(61), nullable=True))
    op.execute("UPDATE project_decisions SET answer = CASE WHEN approved THEN 'approved' ELSE 'refused' END")
    with op.batch_alter_table("project_decisions") as table:
        table.alter_column("answer", existing_type=sa.String(10), nullable=False)
        table.drop_column("approved")


def downgrade() -> None:
    with op.batch_alter_table("project_decisions") as table:
        table.add_column(sa.Column("approved", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE project_decisions SET approved = (answer = 'approved')")
    with op.batch_alter_table("project_decisions") as table:
        for name in ("answer", "until", "limits", "reason"):
            table.drop_column(name)
    for name in ("withdrawn_by", "withdrawn_at", "withdrawn_reason"):
        op.drop_column("projects", name)
