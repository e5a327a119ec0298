"""Evidence records, and who agreed to a stage on them. None of it leaves; the ledger has the records' digests."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class EvidenceRow(NodeTable):
    """One record: `record` is its canonical JSON (`contracts.evidence`), `digest` that one's. `model` is the digest of
    a package or of its weights, as the kind has it. `entry` is its place in the ledger, or `outgoing` where it waits
    for the hub (`record.tables.OutgoingEntry`)."""

    __tablename__ = "evidence"
    __table_args__ = (UniqueConstraint("digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(30))
    model: Mapped[str] = mapped_column(String(64), index=True)
    pathway: Mapped[str] = mapped_column(String(63))
    record: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    entry: Mapped[int | None]
    outgoing: Mapped[int | None] = mapped_column(ForeignKey("ledger_outgoing.id"))
    made_at: Mapped[datetime] = mapped_column(UtcTime)


class StageApproval(NodeTable):
    """A person agrees, in a role, that a deployment goes to a stage. `evidence` is what they could read then: the
    digests of the records, sorted, by comma, and that of the hazard log where the stage asks for one. An approval
    counts for exactly that."""

    __tablename__ = "stage_approvals"
    __table_args__ = (UniqueConstraint("deployment", "stage", "actor"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    deployment: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    stage: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(120))
    roles: Mapped[str] = mapped_column(String(120))
    evidence: Mapped[str] = mapped_column(String(1000))
    agreed_at: Mapped[datetime] = mapped_column(UtcTime)


class ValidationRow(NodeTable):
    """A planned validation on this hospital's own patients: `document` is the plan's canonical JSON
    (`contracts.validation.ValidationPlan`), `digest` that one's, `model` the package's. `until` is when the data
    controller's allowance ends; without one nothing is read. `done_at`: when it was done last."""

    __tablename__ = "validations"
    __table_args__ = (UniqueConstraint("digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    planned_by: Mapped[str] = mapped_column(String(120))
    planned_at: Mapped[datetime] = mapped_column(UtcTime)
    allowed_by: Mapped[str | None] = mapped_column(String(120))
    allowed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    until: Mapped[datetime | None] = mapped_column(UtcTime)
    done_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ValidationCase(NodeTable):
    """A case of the cohort that an allowance froze, by the site's own pseudonym and the enclave's reference; `name` is
    the pseudonym that this validation alone uses, `outcome` what was found (`contracts.validation.JudgedCase`),
    `picture` a PNG of one of the worst failures, sealed (`sealed_picture`), which never leaves the node. A purge of the
    study takes the row with it."""

    __tablename__ = "validation_cases"

    id: Mapped[int] = mapped_column(primary_key=True)
    validation: Mapped[int] = mapped_column(ForeignKey("validations.id"), index=True)
    patient: Mapped[str] = mapped_column(String(64))
    study: Mapped[str] = mapped_column(String(80), index=True)
    name: Mapped[str] = mapped_column(String(32))
    case: Mapped[str] = mapped_column(Text)
    outcome: Mapped[bytes | None] = mapped_column(LargeBinary)
    picture: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class ModelText(NodeTable):
    """An edition of what people wrote about a model: `text` is canonical JSON (`contracts.model_card.CardText`), whole;
    the last one counts, and all are kept."""

    __tablename__ = "model_texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    text: Mapped[bytes] = mapped_column(LargeBinary)
    written_by: Mapped[str] = mapped_column(String(120))
    written_at: Mapped[datetime] = mapped_column(UtcTime)
