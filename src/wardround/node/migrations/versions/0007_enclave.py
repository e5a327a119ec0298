"""The enclave's index for cohorts; what could not be used; purges."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("enclave_studies") as table:
        table.add_column(sa.Column("date", sa.Date(), nullable=True))
        table.add_column(sa.Column("description", sa.String(64), nullable=True))
    with op.batch_alter_table("enclave_series") as table:
        table.add_column(sa.Column("number", sa.Integer(), nullable=True))
        table.add_column(sa.Column("description", sa.String(64), nullable=True))
        table.add_column(sa.Column("model", sa.String(64), nullable=True))
        table.add_column(sa.Column("date", sa.Date(), nullable=True))
        table.add_column(sa.Column("field_strength", sa.Float(), nullable=True))
        table.add_column(sa.Column("contrast", sa.Boolean(), nullable=True))
        table.add_column(sa.Column("image_type", sa.String(255), nullable=True))
        table.add_column(sa.Column("laterality", sa.String(16), nullable=True))
        table.add_column(sa.Column("view_position", sa.String(16), nullable=True))
        table.add_column(sa.Column("sop_class", sa.String(64), nullable=True))
        table.add_column(sa.Column("photometric", sa.String(16), nullable=True))
        table.add_column(sa.Column("transfer_syntax", sa.String(64), nullable=True))
        table.create_index("ix_enclave_series_machine", ["manufacturer", "model"])
    with op.batch_alter_table("enclave_instances") as table:
        table.add_column(sa.Column("number", sa.Integer(), nullable=True))
        table.add_column(sa.Column("frames", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("rows", sa.Integer(), nullable=True))
        table.add_column(sa.Column("columns", sa.Integer(), nullable=True))
        table.add_column(sa.Column("bits", sa.Integer(), nullable=True))
        table.add_column(sa.Column("transfer_syntax", sa.String(64), nullable=True))
    with op.batch_alter_table("manifest_studies") as table:
        table.add_column(sa.Column("commitment", sa.LargeBinary(32), nullable=True))
        table.add_column(sa.Column("removed_at", _TIME, nullable=True))
    op.create_table(
        "enclave_unusable",
        sa.Column(
            "series_uid",
            sa.String(64),
            sa.ForeignKey("enclave_series.uid", name="fk_enclave_unusable_series_uid_enclave_series"),
            nullable=False,
        ),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False, index=True),
        sa.Column("tried_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("series_uid", name="pk_enclave_unusable"),
    )
    op.create_table(
        "enclave_purges",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("ordered_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_enclave_purges"),
    )
    op.create_table(
        "enclave_removals",
        sa.Column(
            "purge_id",
            sa.Integer(),
            sa.ForeignKey("enclave_purges.id", name="fk_enclave_removals_purge_id_enclave_purges"),
            nullable=False,
        ),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("purge_id", "kind", "name", name="pk_enclave_removals"),
    )


def downgrade() -> None:
    for name in ("enclave_removals", "enclave_purges", "enclave_unusable"):
        op.drop_table(name)
    with op.batch_alter_table("manifest_studies") as table:
        table.drop_column("removed_at")
        table.drop_column("commitment")
    with op.batch_alter_table("enclave_instances") as table:
        for name in ("number", "frames", "rows", "columns", "bits", "transfer_syntax"):
            table.drop_column(name)
    with op.batch_alter_table("enclave_series") as table:
        table.drop_index("ix_enclave_series_machine")
        for name in ("number", "description", "model", "date", "field_strength", "contrast", "image_type"):
            table.drop_column(name)
        for name in ("laterality", "view_position", "sop_class", "photometric", "transfer_syntax"):
            table.drop_column(name)
    with op.batch_alter_table("enclave_studies") as table:
        table.drop_column("date")
        table.drop_column("description")
