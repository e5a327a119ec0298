"""The reception of instances: rules of routing, stated counts, what was turned away, storage commitment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_IN_USE = "state NOT IN ('refused', 'purged', 'discarded')"
_IN_USE_BEFORE = "state NOT IN ('refused', 'purged')"


def upgrade() -> None:
    op.create_table(
        "intake_rules",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("target", sa.String(80), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.UniqueConstraint("name", "target", "reason", name="uq_intake_rules_name"),
        sa.PrimaryKeyConstraint("id", name="pk_intake_rules"),
    )
    op.create_table(
        "intake_turned_away",
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("reason", name="pk_intake_turned_away"),
    )
    op.create_table(
        "commitment_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(80), nullable=False),
        sa.Column("calling_title", sa.String(16), nullable=False),
        sa.Column("called_title", sa.String(16), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("requested_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_commitment_requests"),
    )
    op.create_index("ix_commitment_requests_state", "commitment_requests", ["state"])
    op.add_column("received_studies", sa.Column("stated", sa.Integer(), nullable=True))
    op.add_column("received_instances", sa.Column("sop_class", sa.String(64), nullable=False, server_default=""))
    op.add_column(
        "received_instances",
        sa.Column(
            "rule_id",
            sa.Integer(),
            sa.ForeignKey("intake_rules.id", name="fk_received_instances_rule_id_intake_rules"),
            nullable=True,
        ),
        inline_references=True,
    )
    _in_use(_IN_USE)


def downgrade() -> None:
    _in_use(_IN_USE_BEFORE)
    with op.batch_alter_table("received_instances") as table:
        table.drop_column("rule_id")
        table.drop_column("sop_class")
    op.drop_column("received_studies", "stated")
    for name in ("commitment_requests", "intake_turned_away", "intake_rules"):
        op.drop_table(name)


def _in_use(states: str) -> None:
    """Make the index anew that lets one content of an instance be in use."""
    op.drop_index("uq_received_instances_in_use", "received_instances")
    op.create_index(
        "uq_received_instances_in_use",
        "received_instances",
        ["path", "instance_key"],
        unique=True,
        sqlite_where=sa.text(states),
        postgresql_where=sa.text(states),
    )
