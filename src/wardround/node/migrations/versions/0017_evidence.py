"""Evidence of how models do here, and who agreed to a stage on it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("pathway", sa.String(63), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=True),
        sa.Column("outgoing", sa.Integer(), nullable=True),
        sa.Column("made_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
        sa.ForeignKeyConstraint(
            ["outgoing"], ["ledger_outgoing.id"], name=op.f("fk_evidence_outgoing_ledger_outgoing")
        ),
        sa.UniqueConstraint("digest", name=op.f("uq_evidence_digest")),
    )
    op.create_index(op.f("ix_evidence_model"), "evidence", ["model"])
    op.create_table(
        "stage_approvals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("deployment", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("roles", sa.String(120), nullable=False),
        sa.Column("evidence", sa.String(1000), nullable=False),
        sa.Column("agreed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_approvals")),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.id"], name=op.f("fk_stage_approvals_deployment_deployments")
        ),
        sa.UniqueConstraint("deployment", "stage", "actor", name=op.f("uq_stage_approvals_deployment")),
    )


def downgrade() -> None:
    op.drop_table("stage_approvals")
    op.drop_index(op.f("ix_evidence_model"), table_name="evidence")
    op.drop_table("evidence")
