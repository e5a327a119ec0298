"""Whether a run's rounds are over, and why. Asked when a round is whole, and where a leg broke after its last."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.metric import reaches
from wardround.contracts.run_plan import RunPlan
from wardround.hub.runs.tables import RoundRow, RunRow

TARGET, PLATEAU, LAST = "target-reached", "plateau", "last-round"

WORDS = {
    TARGET: "the mean over the sites is as good as the plan wanted",
    PLATEAU: "the mean over the sites got no better any more, by what the plan says of a plateau",
    LAST: "the plan has no further round",
}
"""Why rounds ended, by the reason's code."""


def why_over(session: Session, run: RunRow, plan: RunPlan, score: float | None) -> str:
    """Why no further round follows; nothing where one does.

    Args:
        score: the newest, or the best, of the run's rounds and of what it began with; none where none is told.
    """
    if reaches(plan.metric, score, plan.target):
        return TARGET
    if plan.plateau is not None:
        told = select(RoundRow.score).where(RoundRow.run == run.id, RoundRow.score.is_not(None))
        scores = [value for value in session.scalars(told.order_by(RoundRow.number)) if value is not None]
        if plan.plateau.reached(plan.metric, scores):
            return PLATEAU
    return LAST if run.round >= plan.rounds else ""
