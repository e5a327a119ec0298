"""Evidence of shadow use: what a model did with every study that arrived, and that nobody saw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np
from sqlalchemy.orm import Session

from wardround.contracts.evidence import FourFold, ShadowUse
from wardround.contracts.validation import LocalValidation
from wardround.learning.statistics.drift import drift
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.ladder import Model
from wardround.node.evidence.shelf import latest
from wardround.node.evidence.use import Study, check_stage, studies_at, truths

_NOT_ITS_KIND = frozenset({"no-mr-series"})
"""Reasons that mean: not of the kind of study that it reads."""


def shadow_use(
    session: Session,
    deployment: Deployment,
    *,
    until: datetime,
    model: Model | None = None,
    adjudicated: Mapping[str, bool] | None = None,
) -> ShadowUse:
    """What a deployment did since it was taken into use. Studies that still wait for it aren't counted yet.

    Args:
        model: what evidence of it goes by; drift is told against its own validation here, where there is one.
        adjudicated: by the worklist's key, whether the finding is there, of a sample of studies.

    Raises:
        NotAllowed: it isn't in shadow use (`wrong-stage`); `unknown-study`.
    """
    check_stage(deployment, "shadow-use")
    studies = studies_at(session, deployment, "shadow", until)
    known = truths(studies, adjudicated or {})
    read = [study for study in studies if study.read]
    failed = Counter(study.line.reason or study.line.state for study in studies if not study.read)
    out_of_scope = sum(
        not study.read and (study.line.state == ReadingState.OUT_OF_SCOPE or study.line.reason in _NOT_ITS_KIND)
        for study in studies
    )
    lines = [study.line for study in read]
    seconds = [(line.read_at - line.arrived_at).total_seconds() for line in lines if line.read_at is not None]
    told = [float(value) for value in np.percentile(seconds, (50, 95))] if seconds else [None, None]
    return ShadowUse(
        model=deployment.model,
        pathway=deployment.pathway,
        since=deployment.deployed_at,
        until=until,
        studies=len(studies),
        read=len(read),
        flagged=sum(study.flagged for study in read),
        failed=dict(sorted(failed.items())),
        out_of_scope=out_of_scope,
        seconds_p50=told[0],
        seconds_p95=told[1],
        seen=sum(study.seen for study in studies),
        agreement=_fourfold((study.flagged, study.first) for study in read),
        adjudicated=_fourfold((studies[place].flagged, truth) for place, truth in known.items() if studies[place].read),
        drift=None if model is None else _drift(session, model, read),
    )


def _fourfold(pairs: Iterable[tuple[bool, bool | None]]) -> FourFold:
    found = Counter(pair for pair in pairs if pair[1] is not None)
    return found[True, True], found[True, False], found[False, True], found[False, False]


def _drift(session: Session, model: Model, read: Iterable[Study]) -> tuple[float, float, float] | None:
    """How far its scores are from those of its newest validation on this hospital's own patients."""
    kept = latest(session, "local-validation", model.digests)
    if kept is None or not isinstance(kept.record, LocalValidation):
        return None
    now = [study.line.value for study in read if study.line.value is not None]
    found = drift([case.score for case in kept.record.cases.values()], now)
    return None if found is None else (found.distance, found.p, found.stability)
