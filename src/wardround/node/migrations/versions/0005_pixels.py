"""The review of uncertain pixels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "pixel_reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "instance_id",
            sa.Integer(),
            sa.ForeignKey(
                "received_instances.id",
                name="fk_pixel_reviews_instance_id_received_instances",
                ondelete="CASCADE",
            ),
            nullable=False,
            index=True,
        ),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("series_key", sa.String(32), nullable=False, index=True),
        sa.Column("sop_class", sa.String(64), nullable=False),
        sa.Column("modality", sa.String(16), nullable=False),
        sa.Column("image_frames", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("decided_by", sa.String(120), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("blackened", sa.JSON(), nullable=False),
        sa.UniqueConstraint("digest", name="uq_pixel_reviews_digest"),
        sa.PrimaryKeyConstraint("id", name="pk_pixel_reviews"),
    )


def downgrade() -> None:
    op.drop_table("pixel_reviews")
