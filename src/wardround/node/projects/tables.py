"""Projects as this hospital knows them, what was decided on each edition, what it froze, and what was used and left."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class ProjectRow(NodeTable):
    """A project put before this hospital, in the edition that came last.

    `decision` is the row of what was decided on that edition, or null while nothing was. `closed_at` is when the hub
    said that the project is over for everybody.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    arrived_at: Mapped[datetime] = mapped_column(UtcTime)
    decision: Mapped[int | None]
    closed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Decision(NodeTable):
    """What a person decided on one edition of a project. Rows stay, whatever edition comes later.

    `document` is the edition as it was read; `limits` are an approval's, as JSON (`contracts.approval_limits`).
    `entry` is the signed ledger entry, made when the person decided, `manifest` that of the cohort which an approval
    froze, and `withdrawal` that by which it was taken back; an index is an entry's place in the ledger, once the hub
    gave it. `told_at` is when the hub had all of it as it stands.
    """

    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    project_digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[bytes] = mapped_column(LargeBinary)
    approved: Mapped[bool]
    limits: Mapped[bytes | None] = mapped_column(LargeBinary)
    reason: Mapped[str | None] = mapped_column(String(61))
    decided_by: Mapped[str] = mapped_column(String(120))
    decided_at: Mapped[datetime] = mapped_column(UtcTime)
    entry: Mapped[bytes] = mapped_column(LargeBinary)
    entry_index: Mapped[int | None]
    manifest: Mapped[bytes | None] = mapped_column(LargeBinary)
    manifest_index: Mapped[int | None]
    withdrawn_by: Mapped[str | None] = mapped_column(String(120))
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcTime)
    withdrawn_reason: Mapped[str | None] = mapped_column(String(61))
    withdrawal: Mapped[bytes | None] = mapped_column(LargeBinary)
    withdrawal_index: Mapped[int | None]
    told_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ManifestRow(NodeTable):
    """One study of the cohort that a decision froze, with the salt of its commitment; the salt never leaves.

    Of a study that was purged since (`removed_at`) the commitment alone is left: salt and names are empty.
    """

    __tablename__ = "manifest_studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    decision: Mapped[int] = mapped_column(ForeignKey("decisions.id"), index=True)
    patient: Mapped[str] = mapped_column(String(64))
    study: Mapped[str] = mapped_column(String(64))
    case: Mapped[str] = mapped_column(Text)
    salt: Mapped[bytes] = mapped_column(LargeBinary(32))
    commitment: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ProjectRun(NodeTable):
    """A run that began to use data here under an approval. `ended_at`: when the hub said that it was over."""

    __tablename__ = "project_runs"
    __table_args__ = (UniqueConstraint("decision", "run"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    decision: Mapped[int] = mapped_column(ForeignKey("decisions.id"))
    run: Mapped[str] = mapped_column(String(40), index=True)
    began_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Release(NodeTable):
    """A message that left, or was about to, under an approval. `round` is 0 for a kind that is counted by the run;
    `content` is the SHA-256 of what it told, by which the same told again is known."""

    __tablename__ = "project_releases"
    __table_args__ = (UniqueConstraint("decision", "run", "round", "kind", "content"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    decision: Mapped[int] = mapped_column(ForeignKey("decisions.id"))
    run: Mapped[str] = mapped_column(String(40))
    round: Mapped[int]
    kind: Mapped[str] = mapped_column(String(40))
    content: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcTime)
