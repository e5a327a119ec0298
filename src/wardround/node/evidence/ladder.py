"""What is missing before a model may go to a stage: one rule, that pages, commands and the promotion itself ask."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.evidence import EvidenceRecord, ShadowUse
from wardround.contracts.stage import EVIDENCE, LADDER, STAGES, ApproverRole, EvidenceKind, StageName, next_stage
from wardround.contracts.use_evidence import ReaderStudy
from wardround.contracts.validation import LocalValidation
from wardround.foundation.errors import NotAllowed
from wardround.learning.statistics.findings import findings, missed
from wardround.learning.statistics.readers import reader_study
from wardround.node.evidence.shelf import Kept, fewest_of, latest, seen_by
from wardround.node.evidence.tables import StageApproval

_OFFLINE: frozenset[EvidenceKind] = frozenset({"offline-validation", "local-validation"})
"""Kinds that are of the model, wherever it is used."""


@dataclass(frozen=True)
class Missing:
    """One thing that is missing. `code` is for programs, `words` for people."""

    code: str
    words: str


@dataclass(frozen=True)
class Model:
    """A model at this hospital: the digest of its package, of its weights, and the pathway that it is for."""

    package: str
    weights: str
    pathway: str

    @property
    def digests(self) -> tuple[str, str]:
        return self.package, self.weights


@dataclass(frozen=True)
class Approver:
    """Who agreed, and in which roles."""

    actor: str
    roles: frozenset[str]


class NotYet(NotAllowed):
    """The stage stays shut; `missing` says for want of what."""

    def __init__(self, stage: StageName, missing: tuple[Missing, ...]) -> None:
        told = "; ".join(one.words for one in missing)
        super().__init__(f"{stage} isn't open: {told}", code=missing[0].code)
        self.missing = missing


def evidence_for(session: Session, model: Model, stage: StageName) -> dict[EvidenceKind, Kept | None]:
    """The newest record of each kind that the stage needs. Of what is judged on a pathway, that one's counts only."""
    return {
        kind: latest(session, kind, model.digests, None if kind in _OFFLINE else model.pathway)
        for kind in STAGES[stage].needs
    }


def lacking_evidence(found: Mapping[EvidenceKind, Kept | None], at: datetime) -> tuple[Missing, ...]:
    """What is missing of the evidence, which has to be on the ledger too."""
    missing = []
    for kind, kept in found.items():
        about = EVIDENCE[kind]
        if kept is None:
            missing.append(Missing("no-evidence", f"there is no {kind} here: {about.words}"))
        elif not kept.fresh(at):
            missing.append(
                Missing("evidence-stale", f"the {kind} of {kept.made_at:%Y-%m-%d} is older than {about.days} days")
            )
        elif not kept.enough():
            missing.append(
                Missing(
                    "too-few",
                    f"the {kind} looked at {seen_by(kept.record)}, and shows nothing below {fewest_of(kept.record)}",
                )
            )
        elif fault := _fault(kept.record):
            missing.append(fault)
        elif kept.entry is None:
            missing.append(
                Missing("evidence-not-told", f"the {kind} isn't on the ledger yet: the running node sends it")
            )
    return tuple(missing)


def _fault(record: EvidenceRecord) -> Missing | None:
    """What a record shows that keeps a stage shut: less than was asked of it before, or that somebody saw a result."""
    match record:
        case LocalValidation() if below := missed(findings(record.cases.values(), record.threshold), record.least):
            told = ", ".join(
                f"{name} of at least {least:g}, and it " + ("can't be told" if low is None else f"may be {low:.3f}")
                for name, (low, least) in below.items()
            )
            return Missing("below-plan", f"the local-validation shows less than its plan asked: {told}")
        case ShadowUse(seen=None):
            return Missing("not-shown-unseen", "the shadow-use doesn't show that nobody saw a result; make it anew")
        case ShadowUse(seen=seen) if seen:
            return Missing("was-seen", f"in shadow use {seen} studies were read with a result in view")
        case ReaderStudy():
            found = reader_study([record.alone, record.aided], record.positive).difference
            if found.low <= -record.margin:
                return Missing(
                    "below-plan",
                    f"by the reader-study readers may be worse with it by {-found.low:.3f}, and the margin was "
                    f"{record.margin:g}",
                )
    return None


def lacking_approvers(stage: StageName, agreed: Iterable[Approver]) -> tuple[Missing, ...]:
    """Which role has nobody who agreed. Each person stands for one role, whatever they hold."""
    row = STAGES[stage]
    filled = _filled(row.approvers, list(agreed))
    if not row.approvers or (row.either and filled):
        return ()
    if row.either:
        return (Missing("no-approver", f"a {' or '.join(row.approvers)} has to agree"),)
    return tuple(
        Missing("no-approver", f"a {role} has to agree, another person than for the other role")
        for role in row.approvers
        if role not in filled
    )


def _filled(roles: Collection[ApproverRole], agreed: list[Approver]) -> frozenset[ApproverRole]:
    """The most roles that these people can fill, each one of them."""
    if not roles:
        return frozenset()
    first, *rest = roles
    best = _filled(rest, agreed)
    for place, person in enumerate(agreed):
        if first in person.roles:
            with_them = _filled(rest, agreed[:place] + agreed[place + 1 :]) | {first}
            best = max(best, with_them, key=len)
    return best


def approvals(session: Session, deployment: int, stage: StageName, evidence: str) -> list[Approver]:
    """Who agreed to a stage on exactly this evidence."""
    query = select(StageApproval).where(
        StageApproval.deployment == deployment, StageApproval.stage == stage, StageApproval.evidence == evidence
    )
    return [Approver(row.actor, frozenset(row.roles.split(","))) for row in session.scalars(query)]


def named(found: Mapping[EvidenceKind, Kept | None]) -> str:
    """The evidence of a stage as an approval names it."""
    return ",".join(sorted({kept.digest for kept in found.values() if kept is not None}))


def lacking_step(stage: StageName, now_at: str) -> tuple[Missing, ...]:
    """Whether the stage is the next one up."""
    if stage not in LADDER:
        return (Missing("not-a-rung", f"{stage} is no stage that a model is promoted to"),)
    following = next_stage(now_at)
    if following == stage:
        return ()
    told = f"the next one is {following}" if following else "there is none above it"
    return (Missing("not-next", f"the model is at {now_at}, and {told}"),)


def check_evidence(session: Session, model: Model, stage: StageName, at: datetime) -> None:
    """Whether the evidence opens a stage. Raises `NotYet` with whatever of it is missing."""
    if missing := lacking_evidence(evidence_for(session, model, stage), at):
        raise NotYet(stage, missing)
