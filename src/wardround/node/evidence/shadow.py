"""Evidence of shadow use: what a model did with every study that arrived."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.evidence import ShadowUse
from wardround.foundation.errors import NotAllowed
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine

OUT_OF_SCOPE = frozenset({"no-mr-series"})
"""Reasons that mean: not of the kind of study that it reads."""
_ENDED = frozenset({ReadingState.READ, ReadingState.DELIVERED, ReadingState.WITHHELD})


def shadow_use(session: Session, deployment: Deployment, *, until: datetime) -> ShadowUse:
    """What a deployment did since it was taken into use. Studies that still wait for it aren't counted yet.

    Raises:
        NotAllowed: it isn't in shadow use (code `not-in-shadow`).
    """
    if deployment.stage != "shadow":
        raise NotAllowed(
            f"{deployment.model[:12]} is at {deployment.stage}; evidence of shadow use is made in shadow use",
            code="not-in-shadow",
        )
    query = select(WorklistLine).where(WorklistLine.deployment == deployment.id, WorklistLine.arrived_at <= until)
    lines = [line for line in session.scalars(query) if line.state != ReadingState.WAITING]
    # A study that grew was read anew: it counts once, as its last version went.
    last = {line.study: line for line in sorted(lines, key=lambda line: line.version)}
    read = [line for line in last.values() if ReadingState(line.state) in _ENDED]
    failed = Counter(line.reason or line.state for line in last.values() if ReadingState(line.state) not in _ENDED)
    seconds = [(line.read_at - line.arrived_at).total_seconds() for line in read if line.read_at is not None]
    told = [float(value) for value in np.percentile(seconds, (50, 95))] if seconds else [None, None]
    return ShadowUse(
        model=deployment.model,
        pathway=deployment.pathway,
        since=deployment.deployed_at,
        until=until,
        studies=len(last),
        read=len(read),
        flagged=sum((line.volume_ml or 0) > 0 for line in read),
        failed=dict(sorted(failed.items())),
        out_of_scope=sum(count for reason, count in failed.items() if reason in OUT_OF_SCOPE),
        seconds_p50=told[0],
        seconds_p95=told[1],
    )
