"""Projects as this hospital knows them, and the manifests that its approvals froze."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class ProjectRow(NodeTable):
    """A project put before this hospital. `state` is one of `states.DecisionState`.

    `approval` is the signed ledger entry of the decision, made when the person decided; `approval_index` and
    `manifest_index` are its and the manifest's places in the ledger, and `told_at` when the hub had all of it.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    arrived_at: Mapped[datetime] = mapped_column(UtcTime)
    decided_by: Mapped[str | None] = mapped_column(String(80))
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)
    reason: Mapped[str | None] = mapped_column(String(60))
    approval: Mapped[bytes | None] = mapped_column(LargeBinary)
    approval_index: Mapped[int | None]
    manifest: Mapped[bytes | None] = mapped_column(LargeBinary)
    manifest_index: Mapped[int | None]
    told_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ManifestRow(NodeTable):
    """One study of a frozen cohort, with the salt of its commitment; the salt never leaves.

    Of a study that was purged since (`removed_at`) the commitment alone is left: salt and names are empty.
    """

    __tablename__ = "manifest_studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    project_digest: Mapped[str] = mapped_column(String(64))
    patient: Mapped[str] = mapped_column(String(64))
    study: Mapped[str] = mapped_column(String(64))
    case: Mapped[str] = mapped_column(Text)
    salt: Mapped[bytes] = mapped_column(LargeBinary(32))
    commitment: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)
