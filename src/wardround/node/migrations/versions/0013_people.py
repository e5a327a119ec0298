"""People, their roles and their sessions."""

from __future__ import annotations

from wardround.people.migration_steps import add_people, drop_people

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_people()


def downgrade() -> None:
    drop_people()
