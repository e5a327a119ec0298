"""Query and retrieve, DICOMweb."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "pull_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("path", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("note", sa.String(60), nullable=False),
        sa.Column("ordered_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_pull_jobs"),
    )
    op.create_table(
        "pull_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "job_id", sa.Integer(), sa.ForeignKey("pull_jobs.id", name="fk_pull_items_job_id_pull_jobs"), nullable=False
        ),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(60), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("study_key", sa.String(32), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("arrived", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("moved_at", _TIME, nullable=True, index=True),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pull_items"),
    )
    op.create_index("ix_pull_items_due", "pull_items", ["state", "due_at"])
    op.create_index("ix_pull_items_job", "pull_items", ["job_id", "state"])
    op.create_table(
        "dicomweb_tokens",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("path", sa.String(16), nullable=False),
        sa.Column("made_by", sa.String(120), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.UniqueConstraint("digest", name="uq_dicomweb_tokens_digest"),
        sa.PrimaryKeyConstraint("name", name="pk_dicomweb_tokens"),
    )
    op.create_table(
        "dicomweb_studies",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("patient_id", sa.String(64), nullable=False, index=True),
        sa.Column("date", sa.String(8), nullable=False, index=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_dicomweb_studies"),
    )
    op.create_table(
        "dicomweb_series",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False, index=True),
        sa.Column("modality", sa.String(16), nullable=False, index=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_dicomweb_series"),
    )
    op.create_table(
        "dicomweb_instances",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False, index=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("sop_class", sa.String(64), nullable=False),
        sa.Column("transfer_syntax", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_dicomweb_instances"),
    )
    op.create_index("ix_dicomweb_instances_place", "dicomweb_instances", ["study_uid", "series_uid"])


def downgrade() -> None:
    for table in (
        "dicomweb_instances",
        "dicomweb_series",
        "dicomweb_studies",
        "dicomweb_tokens",
        "pull_items",
        "pull_jobs",
    ):
        op.drop_table(table)
