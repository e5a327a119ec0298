"""What hospitals tell of a model's validation on patients of their own, and all of it together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Evidence
from wardround.contracts.outbound import Acknowledged, Estimate, EvidenceSummary
from wardround.contracts.validation import Measure
from wardround.foundation.errors import NotAllowed
from wardround.hub import audit
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.registry.tables import EvidenceRow
from wardround.learning.statistics import pooling
from wardround.learning.statistics.pooling import Pooled, as_shares, pool
from wardround.ledger import store


def register(exchange: Exchange) -> None:
    exchange.register(EvidenceSummary)(_take)


def _take(caller: Caller, message: EvidenceSummary, _attachment: bytes) -> Acknowledged:
    with caller.database.writing() as session:
        entry = store.entry(session, message.entry)
        if not isinstance(entry, Evidence) or (entry.origin, entry.model) != (caller.site, message.model):
            raise NotAllowed("the ledger has no evidence of this site for this model in that place", code="no-evidence")
        key = {"site": caller.site, "model": message.model, "plan": message.plan}
        row = session.scalar(select(EvidenceRow).filter_by(**key))
        if row is None:
            row = EvidenceRow(**key)
            session.add(row)
        row.summary, row.entry, row.taken_at = message.canonical(), message.entry, caller.now()
        audit.record(session, caller.actor, "tell-evidence", message.model, message.plan)
    return Acknowledged()


@dataclass(frozen=True)
class Together:
    """One plan, followed at several sites: what each told, and each measure pooled where a site told it, of all and of
    each group of people (`contracts.outbound.ToldGroup`)."""

    plan: str
    sites: Mapping[str, EvidenceSummary]
    pooled: Mapping[Measure, Pooled]
    groups: Mapping[str, Mapping[Measure, Pooled]]


def together(session: Session, model: str) -> list[Together]:
    """What was told of a model, plan by plan: only what followed the same plan is pooled."""
    rows = session.scalars(select(EvidenceRow).where(EvidenceRow.model == model).order_by(EvidenceRow.id)).all()
    plans: dict[str, dict[str, EvidenceSummary]] = {}
    for row in rows:
        plans.setdefault(row.plan, {})[row.site] = EvidenceSummary.model_validate_json(row.summary)
    return [_together(plan, sites) for plan, sites in plans.items()]


def _together(plan: str, sites: Mapping[str, EvidenceSummary]) -> Together:
    groups = sorted({group for one in sites.values() for group in one.groups})
    return Together(
        plan,
        sites,
        _pooled([one.estimates for one in sites.values()]),
        {group: _pooled([one.groups[group] for one in sites.values() if group in one.groups]) for group in groups},
    )


def _pooled(told: Sequence[Mapping[Measure, Estimate]]) -> dict[Measure, Pooled]:
    measures = sorted({measure for one in told for measure in one})
    return {measure: as_shares(pool([_logit(one[measure]) for one in told if measure in one])) for measure in measures}


def _logit(told: Estimate) -> pooling.Estimate:
    """An estimate and its standard error on the scale of its logit (by the delta method); what is nearer to 0 or 1 than
    half a person is taken for half a person."""
    people = told.people.about or 1
    value = min(max(told.value, 0.5 / people), 1 - 0.5 / people)
    error = math.sqrt(value * (1 - value) / people) if told.error is None else told.error
    return pooling.Estimate(math.log(value / (1 - value)), error / (value * (1 - value)))
