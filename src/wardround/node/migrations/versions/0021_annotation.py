"""Annotation: who had which case before them, the labels that were saved, and what is known of images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "annotation_sittings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("series", sa.String(64), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("person", sa.String(120), nullable=False),
        sa.Column("strategy", sa.String(20), nullable=False),
        sa.Column("seat", sa.String(80), nullable=True),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("ended", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation_sittings")),
        sa.UniqueConstraint("seat", name=op.f("uq_annotation_sittings_seat")),
    )
    for column in ("series", "pseudonym", "person"):
        op.create_index(op.f(f"ix_annotation_sittings_{column}"), "annotation_sittings", [column])
    op.create_table(
        "annotation_labels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("series", sa.String(64), nullable=False),
        sa.Column("study", sa.String(64), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("tag", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(120), nullable=False),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("seg", sa.String(64), nullable=False),
        sa.Column("nifti", sa.String(64), nullable=False),
        sa.Column("voxels", sa.Integer(), nullable=False),
        sa.Column("volume_ml", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("saved_at", _TIME, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("decided_by", sa.String(120), nullable=True),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("object_uid", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation_labels")),
        sa.UniqueConstraint("series", "version", name=op.f("uq_annotation_labels_series")),
    )
    op.create_index(op.f("ix_annotation_labels_pseudonym"), "annotation_labels", ["pseudonym"])
    op.create_table(
        "annotation_traits",
        sa.Column("series", sa.String(64), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("look", sa.JSON(), nullable=False),
        sa.Column("doubt", sa.Double(), nullable=True),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("series", name=op.f("pk_annotation_traits")),
    )
    op.create_index(op.f("ix_annotation_traits_pseudonym"), "annotation_traits", ["pseudonym"])


def downgrade() -> None:
    op.drop_table("annotation_traits")
    op.drop_table("annotation_labels")
    op.drop_table("annotation_sittings")
