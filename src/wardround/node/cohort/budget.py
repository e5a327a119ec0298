"""How many questions a person may ask in a project: finding out about one patient after another mustn't be for free."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from wardround.node.cohort import queries
from wardround.node.settings import CohortSettings

DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Left:
    """What one person may still ask in one project: today, in total, and today together with everybody else."""

    today: int
    in_total: int
    of_all_today: int

    def refusal(self, cost: int) -> str | None:
        """Why a question of that cost isn't answered, or None where it is."""
        if cost > self.in_total:
            return "question-budget-spent"
        if cost > self.today:
            return "question-budget-today"
        return "questions-of-all-today" if cost > self.of_all_today else None


def left(session: Session, settings: CohortSettings, *, asked_by: str, project: str, at: datetime) -> Left:
    """The budget as it stands. Names come from the hub; the last of the three limits is what holds whatever names a
    hub may make up."""
    asker = (asked_by, project)
    return Left(
        today=settings.questions_per_day - queries.spent(session, since=at - DAY, asker=asker),
        in_total=settings.questions_in_total - queries.spent(session, asker=asker),
        of_all_today=settings.all_per_day - queries.spent(session, since=at - DAY),
    )
