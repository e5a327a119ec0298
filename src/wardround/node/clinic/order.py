"""The worklist's order: as studies arrived, those that a model flagged further up where its stage allows that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.stage import STAGES
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine

_READ = frozenset({ReadingState.READ, ReadingState.DELIVERED})


@dataclass(frozen=True)
class Place:
    """A line of the worklist where it stands, and why there."""

    line: WorklistLine
    deployment: Deployment
    why: str


def worklist(session: Session) -> list[Place]:
    """Every line, in the order in which the studies should be read.

    Flagged studies come first, by arrival; all others follow by arrival. So a study that wasn't flagged, or of which
    the model gave nothing, keeps its order among its like, whatever became of the model.
    """
    rows = session.execute(select(WorklistLine, Deployment).join(Deployment, Deployment.id == WorklistLine.deployment))
    return in_order(rows)


def in_order(rows: Iterable[tuple[WorklistLine, Deployment]]) -> list[Place]:
    """As `worklist`, of rows in any order."""
    placed = [Place(line, deployment, _why(line, deployment)) for line, deployment in rows]
    return sorted(placed, key=lambda one: (one.why != FLAGGED, one.line.arrived_at, one.line.id))


FLAGGED, ARRIVAL = "flagged", "arrival"


def _why(line: WorklistLine, deployment: Deployment) -> str:
    flagged = line.state in _READ and (line.volume_ml or 0) > 0
    in_use = deployment.active and STAGES[deployment.stage].orders_worklist
    return FLAGGED if flagged and in_use else ARRIVAL
