"""Validations on a hospital's own patients, and the cohorts that were frozen for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "validations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("planned_by", sa.String(120), nullable=False),
        sa.Column("planned_at", _TIME, nullable=False),
        sa.Column("allowed_by", sa.String(120), nullable=True),
        sa.Column("allowed_at", _TIME, nullable=True),
        sa.Column("until", _TIME, nullable=True),
        sa.Column("done_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_validations")),
        sa.UniqueConstraint("digest", name=op.f("uq_validations_digest")),
    )
    op.create_index(op.f("ix_validations_model"), "validations", ["model"])
    op.create_table(
        "validation_cases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("validation", sa.Integer(), nullable=False),
        sa.Column("patient", sa.String(64), nullable=False),
        sa.Column("study", sa.String(80), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("case", sa.Text(), nullable=False),
        sa.Column("outcome", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_validation_cases")),
        sa.ForeignKeyConstraint(
            ["validation"], ["validations.id"], name=op.f("fk_validation_cases_validation_validations")
        ),
    )
    op.create_index(op.f("ix_validation_cases_validation"), "validation_cases", ["validation"])
    op.create_index(op.f("ix_validation_cases_study"), "validation_cases", ["study"])


def downgrade() -> None:
    op.drop_table("validation_cases")
    op.drop_index(op.f("ix_validations_model"), table_name="validations")
    op.drop_table("validations")
