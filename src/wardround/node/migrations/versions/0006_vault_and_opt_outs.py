"""Opt-outs and erasures; studies of the enclave that are still coming in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "opt_out_schemes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", _TIME, nullable=False),
        sa.UniqueConstraint("fingerprint", name="uq_opt_out_schemes_fingerprint"),
        sa.PrimaryKeyConstraint("id", name="pk_opt_out_schemes"),
    )
    op.create_table(
        "opt_outs",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column(
            "scheme",
            sa.Integer(),
            sa.ForeignKey("opt_out_schemes.id", name="fk_opt_outs_scheme_opt_out_schemes"),
            nullable=True,
        ),
        sa.Column("added_at", _TIME, nullable=False),
        sa.Column("added_by", sa.String(120), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_opt_outs"),
    )
    op.create_table(
        "patient_keys",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False, index=True),
        sa.PrimaryKeyConstraint("key", "pseudonym", name="pk_patient_keys"),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ordered_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_table(
        "enclave_open_studies",
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("received_study", sa.Integer(), nullable=False, index=True),
        sa.PrimaryKeyConstraint("study_uid", name="pk_enclave_open_studies"),
    )


def downgrade() -> None:
    for table in ("enclave_open_studies", "erasures", "patient_keys", "opt_outs", "opt_out_schemes"):
        op.drop_table(table)
