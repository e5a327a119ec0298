"""The front door: what was received, and the enclave's index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "received_studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(16), nullable=False),
        sa.Column("study_key", sa.String(32), nullable=False),
        sa.Column("first_at", _TIME, nullable=False),
        sa.Column("last_at", _TIME, nullable=False, index=True),
        sa.Column("completed_at", _TIME, nullable=True, index=True),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.UniqueConstraint("path", "study_key", name="uq_received_studies_path"),
        sa.PrimaryKeyConstraint("id", name="pk_received_studies"),
    )
    op.create_table(
        "received_instances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "study_id",
            sa.Integer(),
            sa.ForeignKey("received_studies.id", name="fk_received_instances_study_id_received_studies"),
            nullable=True,
        ),
        sa.Column("path", sa.String(16), nullable=False),
        sa.Column("instance_key", sa.String(32), nullable=False),
        sa.Column("series_key", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.String(80), nullable=True),
        sa.Column("called_title", sa.String(16), nullable=False),
        sa.Column("calling_title", sa.String(16), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("reason", sa.String(64), nullable=True),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.UniqueConstraint("path", "instance_key", "digest", name="uq_received_instances_path"),
        sa.PrimaryKeyConstraint("id", name="pk_received_instances"),
    )
    op.create_index("ix_received_instances_study_state", "received_instances", ["study_id", "state"])
    op.create_index(
        "uq_received_instances_in_use",
        "received_instances",
        ["path", "instance_key"],
        unique=True,
        sqlite_where=sa.text("state NOT IN ('refused', 'purged')"),
        postgresql_where=sa.text("state NOT IN ('refused', 'purged')"),
    )
    op.create_table(
        "enclave_patients",
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("sex", sa.String(1), nullable=True),
        sa.PrimaryKeyConstraint("pseudonym", name="pk_enclave_patients"),
    )
    op.create_table(
        "enclave_studies",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column(
            "pseudonym",
            sa.String(64),
            sa.ForeignKey("enclave_patients.pseudonym", name="fk_enclave_studies_pseudonym_enclave_patients"),
            nullable=False,
            index=True,
        ),
        sa.Column("statements", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_enclave_studies"),
    )
    op.create_table(
        "enclave_series",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column(
            "study_uid",
            sa.String(64),
            sa.ForeignKey("enclave_studies.uid", name="fk_enclave_series_study_uid_enclave_studies"),
            nullable=False,
            index=True,
        ),
        sa.Column(
            "pseudonym",
            sa.String(64),
            sa.ForeignKey("enclave_patients.pseudonym", name="fk_enclave_series_pseudonym_enclave_patients"),
            nullable=False,
            index=True,
        ),
        sa.Column("modality", sa.String(16), nullable=True),
        sa.Column("body_part", sa.String(16), nullable=True),
        sa.Column("age", sa.Integer(), nullable=True),
        sa.Column("manufacturer", sa.String(64), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("columns", sa.Integer(), nullable=True),
        sa.Column("row_spacing", sa.Float(), nullable=True),
        sa.Column("column_spacing", sa.Float(), nullable=True),
        sa.Column("thickness", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("uid", name="pk_enclave_series"),
    )
    op.create_index("ix_enclave_series_kind", "enclave_series", ["modality", "body_part"])
    op.create_table(
        "enclave_instances",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column(
            "series_uid",
            sa.String(64),
            sa.ForeignKey("enclave_series.uid", name="fk_enclave_instances_series_uid_enclave_series"),
            nullable=False,
            index=True,
        ),
        sa.Column("sop_class", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, index=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Float(), nullable=True),
        sa.Column("indexed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_enclave_instances"),
    )
    op.create_table(
        "enclave_labels",
        sa.Column(
            "uid",
            sa.String(64),
            sa.ForeignKey("enclave_instances.uid", name="fk_enclave_labels_uid_enclave_instances"),
            nullable=False,
        ),
        sa.Column(
            "pseudonym",
            sa.String(64),
            sa.ForeignKey("enclave_patients.pseudonym", name="fk_enclave_labels_pseudonym_enclave_patients"),
            nullable=False,
        ),
        sa.Column("labelled_series_uid", sa.String(64), nullable=False, index=True),
        sa.Column("is_reference", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_enclave_labels"),
    )


def downgrade() -> None:
    for table in (
        "enclave_labels",
        "enclave_instances",
        "enclave_series",
        "enclave_studies",
        "enclave_patients",
        "received_instances",
        "received_studies",
    ):
        op.drop_table(table)
