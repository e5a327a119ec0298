"""All that a run told: its rounds, each site's part in them, and how good each round's aggregate is at each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from wardround.contracts.metric import METRICS, Metric
from wardround.contracts.run_plan import RunPlan
from wardround.hub.runs import actions, queries
from wardround.hub.runs.tables import EvaluationRow, RoundRow, RoundSiteRow, RunRow


@dataclass(frozen=True)
class History:
    """`scores` has, by round and site, the plan's metric of that round's aggregate on the site's held-out patients;
    round 0 is the model that the run began with. `judgements` were told after the rounds, of every model."""

    run: RunRow
    plan: RunPlan
    rounds: Sequence[RoundRow]
    parts: Sequence[RoundSiteRow]
    scores: Mapping[tuple[int, str], float]
    judgements: Sequence[EvaluationRow]

    @property
    def metric(self) -> Metric:
        return METRICS[self.plan.metric]

    @property
    def when(self) -> Mapping[int, datetime]:
        """When each round was whole; round 0 is the run's beginning."""
        return {0: self.run.started_at} | {row.number: row.committed_at for row in self.rounds}

    @property
    def sites(self) -> list[str]:
        """Every site that had a part in a round or judged a model, by name."""
        return sorted({part.site for part in self.parts} | {row.site for row in self.judgements})


def history(session: Session, run: str) -> History:
    """What the run told so far.

    Raises:
        NotFound: there is no such run.
    """
    row, rounds = queries.row_of(session, run), queries.rounds(session, run)
    parts = [part for some in queries.parts(session, run).values() for part in some]
    # A site tells of the aggregate that it is given, which is the round before's.
    scores = {(part.round - 1, part.site): part.score for part in parts if part.score is not None}
    made = {found.aggregate: found.number for found in rounds}
    judgements = queries.evaluations(session, run)
    for judged in judgements:
        if judged.label == "federated" and judged.score is not None and judged.model in made:
            scores[made[judged.model], judged.site] = judged.score
    return History(row, actions.plan_of(row), rounds, parts, dict(sorted(scores.items())), judgements)
