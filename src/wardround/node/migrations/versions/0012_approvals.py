"""Decisions as rows that stay, each with its limits, its manifest and its withdrawal; what was used and left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_OF_THE_DECISION = (
    ("decided_by", sa.String(80)),
    ("decided_at", _TIME),
    ("reason", sa.String(60)),
    ("approval", sa.LargeBinary()),
    ("approval_index", sa.Integer()),
    ("manifest", sa.LargeBinary()),
    ("manifest_index", sa.Integer()),
    ("told_at", _TIME),
)


def upgrade() -> None:
    _make_tables()
    op.add_column("projects", sa.Column("decision", sa.Integer(), nullable=True))
    op.add_column("projects", sa.Column("closed_at", _TIME, nullable=True))
    op.execute(
        "INSERT INTO decisions (project, project_digest, document, approved, reason, decided_by, decided_at, entry, "
        "entry_index, manifest, manifest_index, told_at) "
        "SELECT id, digest, document, state = 'approved', reason, decided_by, decided_at, approval, approval_index, "
        "manifest, manifest_index, told_at FROM projects WHERE approval IS NOT NULL AND decided_at IS NOT NULL "
        "AND decided_by IS NOT NULL"
    )
    op.execute("UPDATE projects SET decision = (SELECT id FROM decisions WHERE decisions.project = projects.id)")
    with op.batch_alter_table("manifest_studies") as table:
        table.add_column(sa.Column("decision", sa.Integer(), nullable=True))
    # A frozen cohort of an edition on which nothing stands was used for nothing: no manifest of it was made.
    op.execute(
        "UPDATE manifest_studies SET decision = (SELECT decisions.id FROM decisions WHERE "
        "decisions.project = manifest_studies.project AND decisions.project_digest = manifest_studies.project_digest)"
    )
    op.execute("DELETE FROM manifest_studies WHERE decision IS NULL")
    with op.batch_alter_table("manifest_studies") as table:
        table.alter_column("decision", existing_type=sa.Integer(), nullable=False)
        table.create_foreign_key(op.f("fk_manifest_studies_decision_decisions"), "decisions", ["decision"], ["id"])
        table.create_index(op.f("ix_manifest_studies_decision"), ["decision"])
        table.drop_column("project_digest")
    op.drop_column("projects", "state")
    for name, _ in _OF_THE_DECISION:
        op.drop_column("projects", name)


def downgrade() -> None:
    for name, kind in _OF_THE_DECISION:
        op.add_column("projects", sa.Column(name, kind, nullable=True))
    op.add_column("projects", sa.Column("state", sa.String(20), nullable=False, server_default="waiting"))
    for name, _ in _OF_THE_DECISION:
        source = {"approval": "entry", "approval_index": "entry_index"}.get(name, name)
        op.execute(f"UPDATE projects SET {name} = (SELECT {source} FROM decisions WHERE decisions.id = decision)")  # noqa: S608 - names above
    op.execute(
        "UPDATE projects SET state = (SELECT CASE WHEN approved THEN 'approved' ELSE 'refused' END FROM decisions "
        "WHERE decisions.id = decision) WHERE decision IS NOT NULL"
    )
    with op.batch_alter_table("manifest_studies") as table:
        table.add_column(sa.Column("project_digest", sa.String(64), nullable=False, server_default=""))
    op.execute(
        "UPDATE manifest_studies SET project_digest = (SELECT project_digest FROM decisions "
        "WHERE decisions.id = decision)"
    )
    with op.batch_alter_table("manifest_studies") as table:
        table.drop_index(op.f("ix_manifest_studies_decision"))
        table.drop_constraint(op.f("fk_manifest_studies_decision_decisions"), type_="foreignkey")
        table.drop_column("decision")
    op.drop_column("projects", "decision")
    op.drop_column("projects", "closed_at")
    op.drop_table("project_releases")
    op.drop_index(op.f("ix_project_runs_run"), table_name="project_runs")
    op.drop_table("project_runs")
    op.drop_index(op.f("ix_decisions_project"), table_name="decisions")
    op.drop_table("decisions")


def _make_tables() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("project_digest", sa.String(64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("limits", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.String(61), nullable=True),
        sa.Column("decided_by", sa.String(120), nullable=False),
        sa.Column("decided_at", _TIME, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("entry_index", sa.Integer(), nullable=True),
        sa.Column("manifest", sa.LargeBinary(), nullable=True),
        sa.Column("manifest_index", sa.Integer(), nullable=True),
        sa.Column("withdrawn_by", sa.String(120), nullable=True),
        sa.Column("withdrawn_at", _TIME, nullable=True),
        sa.Column("withdrawn_reason", sa.String(61), nullable=True),
        sa.Column("withdrawal", sa.LargeBinary(), nullable=True),
        sa.Column("withdrawal_index", sa.Integer(), nullable=True),
        sa.Column("told_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_decisions_project_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_project"), "decisions", ["project"])
    op.create_table(
        "project_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("decision", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(40), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["decision"], ["decisions.id"], name=op.f("fk_project_runs_decision_decisions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_runs")),
        sa.UniqueConstraint("decision", "run", name=op.f("uq_project_runs_decision")),
    )
    op.create_index(op.f("ix_project_runs_run"), "project_runs", ["run"])
    op.create_table(
        "project_releases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("decision", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(40), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["decision"], ["decisions.id"], name=op.f("fk_project_releases_decision_decisions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_releases")),
        sa.UniqueConstraint("decision", "run", "round", "kind", "content", name=op.f("uq_project_releases_decision")),
    )
