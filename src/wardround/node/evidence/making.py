"""Makes the evidence that a model's present stage gives, keeps it, and has the ledger told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from wardround.contracts.evidence import EvidenceRecord
from wardround.contracts.stage import LADDER
from wardround.contracts.use_evidence import ReaderStudy
from wardround.foundation.errors import NotAllowed
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.ladder import Model
from wardround.node.evidence.order_effect import order_effect
from wardround.node.evidence.second_reads import second_reads
from wardround.node.evidence.shadow import shadow_use
from wardround.node.evidence.shelf import keep_and_tell
from wardround.node.record.entries import SiteEntries


def make(
    session: Session,
    deployment: Deployment,
    model: Model,
    entries: SiteEntries,
    *,
    adjudicated: Mapping[str, bool] | None = None,
    actor: str,
    at: datetime,
) -> tuple[EvidenceRecord, ...]:
    """The evidence of use that a deployment's stage gives, up to a moment; kept and waiting for the ledger.

    Args:
        adjudicated: by the worklist's key, whether the finding is there, of a sample of studies.

    Raises:
        NotAllowed: `wrong-stage`, this stage gives none; `unknown-study`.
    """
    records: tuple[EvidenceRecord, ...]
    match deployment.stage:
        case "shadow":
            records = (shadow_use(session, deployment, until=at, model=model, adjudicated=adjudicated),)
        case "prioritisation" | "triage":
            records = order_effect(session, deployment, until=at)
        case "second-reader":
            records = (second_reads(session, deployment, until=at, adjudicated=adjudicated),)
        case _:
            raise NotAllowed(
                f"{deployment.model[:12]} is at {deployment.stage}, at which no evidence of use is made",
                code="wrong-stage",
            )
    _keep(session, deployment, records, entries, actor=actor, at=at)
    return records


def keep_reader_study(
    session: Session, deployment: Deployment, record: ReaderStudy, entries: SiteEntries, *, actor: str, at: datetime
) -> None:
    """Keep a study of readers, which was made beside the clinic."""
    _keep(session, deployment, (record,), entries, actor=actor, at=at)


def _keep(
    session: Session,
    deployment: Deployment,
    records: tuple[EvidenceRecord, ...],
    entries: SiteEntries,
    *,
    actor: str,
    at: datetime,
) -> None:
    stage = next(rung for rung in LADDER if rung == deployment.stage)
    for record in records:
        keep_and_tell(session, record, stage, entries, at=at, actor=actor)
