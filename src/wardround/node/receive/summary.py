"""What came in, what became of it, and why not: the numbers behind `wardround node intake`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from wardround.foundation.database import Database
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy


@dataclass(frozen=True, slots=True)
class IntakeSummary:
    """Counts since the node was made. An instance that went down both paths counts once on each.

    studies, instances: by path. states: by path, then state. refused: by reason. waiting: research instances that
    are neither de-identified nor refused yet. late: instances that came after their study was complete.
    """

    studies: Mapping[str, int]
    instances: Mapping[str, int]
    states: Mapping[str, Mapping[str, int]]
    refused: Mapping[str, int]
    open_studies: int
    late: int

    @property
    def waiting(self) -> int:
        return sum(counts.get(State.RECEIVED.value, 0) for counts in self.states.values())

    @property
    def instances_refused(self) -> int:
        return sum(self.refused.values())


def intake_summary(database: Database) -> IntakeSummary:
    """The counts as they stand now."""
    with database.reading() as session:
        studies = dict(session.execute(select(ReceivedStudy.path, func.count()).group_by(ReceivedStudy.path)).all())
        states: dict[str, dict[str, int]] = {}
        for path, state, count in session.execute(
            select(ReceivedInstance.path, ReceivedInstance.state, func.count()).group_by(
                ReceivedInstance.path, ReceivedInstance.state
            )
        ):
            states.setdefault(path, {})[state] = count
        refused = {
            reason or "unknown": count
            for reason, count in session.execute(
                select(ReceivedInstance.reason, func.count())
                .where(ReceivedInstance.state == State.REFUSED.value)
                .group_by(ReceivedInstance.reason)
                .order_by(ReceivedInstance.reason)
            )
        }
        unfinished = select(func.count()).select_from(ReceivedStudy).where(ReceivedStudy.completed_at.is_(None))
        late = select(func.count()).select_from(ReceivedInstance).where(ReceivedInstance.late.is_(True))
        return IntakeSummary(
            studies=studies,
            instances={path: sum(counts.values()) for path, counts in states.items()},
            states=states,
            refused=refused,
            open_studies=session.scalar(unfinished) or 0,
            late=session.scalar(late) or 0,
        )
