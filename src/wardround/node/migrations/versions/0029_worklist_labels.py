"""What became of results that may serve as reference labels. Of those from before nothing is made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worklist_answers", sa.Column("labelled", sa.String(20), nullable=False, server_default=""))
    answers = sa.table("worklist_answers", sa.column("label", sa.Boolean), sa.column("labelled", sa.String))
    op.execute(answers.update().where(answers.c.label).values(labelled="before-labels"))


def downgrade() -> None:
    op.drop_column("worklist_answers", "labelled")
