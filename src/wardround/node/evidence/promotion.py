"""A model goes one stage up: on evidence of this hospital, and by people of different roles who each agreed to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Promotion
from wardround.contracts.stage import STAGES, EvidenceKind, StageName
from wardround.foundation.errors import NotAllowed
from wardround.node import audit
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.card import written_of
from wardround.node.evidence.ladder import (
    Approver,
    Missing,
    Model,
    NotYet,
    approvals,
    evidence_for,
    lacking_approvers,
    lacking_evidence,
    lacking_step,
    named,
)
from wardround.node.evidence.shelf import Kept
from wardround.node.evidence.tables import StageApproval
from wardround.node.record.entries import SiteEntries


@dataclass(frozen=True)
class Standing:
    """How a deployment stands before a stage: what is missing, and who agreed."""

    stage: StageName
    missing: tuple[Missing, ...]
    agreed: tuple[Approver, ...]


def standing(session: Session, deployment: Deployment, model: Model, stage: StageName, at: datetime) -> Standing:
    """What is missing before this deployment may go to `stage`; nothing is, where it could go now."""
    found = evidence_for(session, model, stage)
    agreed = tuple(approvals(session, deployment.id, stage, _word(session, deployment, stage, found)))
    missing = _lacking(session, deployment, stage, found, at) + lacking_approvers(stage, agreed)
    return Standing(stage, missing, agreed)


def agree(
    session: Session,
    deployment: Deployment,
    model: Model,
    stage: StageName,
    person: Approver,
    entries: SiteEntries,
    *,
    at: datetime,
) -> Standing:
    """A person agrees that a model goes to a stage, on the evidence as it is now, and on the hazard log where the stage
    asks for one; with the last who has to, it goes.

    Their word is on the audit, and the promotion waits for the ledger in the same transaction.

    Raises:
        NotYet: the model isn't on the rung below, or evidence is missing: there is nothing to agree to.
        NotAllowed: `wrong-role`, they hold none of the roles that this stage asks.
    """
    row = STAGES[stage]
    found = evidence_for(session, model, stage)
    if missing := _lacking(session, deployment, stage, found, at):
        raise NotYet(stage, missing)
    roles = sorted(person.roles & set(row.approvers))
    if not roles:
        raise NotAllowed(f"{stage} is agreed to by a {' and a '.join(row.approvers)}", code="wrong-role")
    word = _word(session, deployment, stage, found)
    query = select(StageApproval).filter_by(deployment=deployment.id, stage=stage, actor=person.actor)
    given = session.scalar(query)
    if given is None:
        given = StageApproval(deployment=deployment.id, stage=stage, actor=person.actor)
        session.add(given)
    given.roles, given.evidence, given.agreed_at = ",".join(roles), word, at
    audit.record(session, person.actor, "agree-to-stage", deployment.model, f"{stage} on {word}", clock=lambda: at)
    session.flush()
    agreed = tuple(approvals(session, deployment.id, stage, word))
    reached = Standing(stage, lacking_approvers(stage, agreed), agreed)
    if not reached.missing:
        deployment.stage = stage
        indices = tuple(sorted({kept.entry for kept in found.values() if kept is not None and kept.entry is not None}))
        entries.later(
            session,
            Promotion(
                origin=entries.site,
                at=at,
                model=deployment.model,
                weights=None if model.weights == model.package else model.weights,
                pathway=deployment.pathway,
                stage=stage,
                evidence=indices,
            ),
        )
        people = " and ".join(sorted(one.actor for one in reached.agreed))
        told = f"{deployment.pathway} {stage}, agreed by {people}"
        audit.record(session, person.actor, "promote-model", deployment.model, told, clock=lambda: at)
    return reached


def _lacking(
    session: Session,
    deployment: Deployment,
    stage: StageName,
    found: Mapping[EvidenceKind, Kept | None],
    at: datetime,
) -> tuple[Missing, ...]:
    """What is missing before anybody can agree."""
    unused = Missing("not-in-use", "the model isn't in use; take it into shadow use first: wardround node deploy")
    use = () if deployment.active else (unused,)
    return (
        use + lacking_step(stage, deployment.stage) + lacking_evidence(found, at) + _hazards(session, deployment, stage)
    )


def _hazards(session: Session, deployment: Deployment, stage: StageName) -> tuple[Missing, ...]:
    """What the hazard log says that keeps the stage shut; where it has to be there, that it isn't."""
    written = written_of(session, deployment.model)
    if STAGES[stage].hazard_log and (written is None or not written.text.hazards):
        words = "there is no hazard log of its use here: write it with wardround node model card --edit"
        return (Missing("no-hazard-log", words),)
    return tuple(
        Missing("hazard-open", f"hazard {one.name} of its hazard log has an unacceptable risk left ({one.risk_left})")
        for one in (written.text.unacceptable if written is not None else ())
    )


def _word(session: Session, deployment: Deployment, stage: StageName, found: Mapping[EvidenceKind, Kept | None]) -> str:
    """What an agreement rests on: the records and, where the stage asks for one, this edition of the hazard log."""
    written = written_of(session, deployment.model) if STAGES[stage].hazard_log else None
    return ",".join([named(found), *([] if written is None else [written.text.content_digest()])])
