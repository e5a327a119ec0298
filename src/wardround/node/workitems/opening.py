"""Every reading of this node is a workitem: one is opened for each line of the worklist, and follows it."""

from __future__ import annotations

from sqlalchemy import select

from wardround.dicom.finding import OWN
from wardround.dicom.source_header import made_uid
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.clinic.states import WITH_RESULT, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.workitems.states import FINAL, Fault, Request, StepState, outcome
from wardround.node.workitems.subscriptions import Subscriptions
from wardround.node.workitems.tables import Workitem

BY = "program"
_AT_ONCE = 500


class Opening:
    """`tick` opens workitems for new lines, and claims and ends those whose line has come to its end. This node is
    their performer, and works by the states and the table that others are held to."""

    def __init__(self, database: Database, subscriptions: Subscriptions, clock: Clock) -> None:
        self._database = database
        self._subscriptions = subscriptions
        self._clock = clock

    def tick(self) -> int:
        """Returns for how many lines a step was taken."""
        self._subscriptions.sweep()
        return self._open() + self._follow()

    def _open(self) -> int:
        known = select(Workitem.line).where(Workitem.line.is_not(None))
        asked = (
            select(WorklistLine, Deployment)
            .join(Deployment, Deployment.id == WorklistLine.deployment)
            .where(WorklistLine.state != ReadingState.ELSEWHERE, WorklistLine.id.not_in(known))
            .order_by(WorklistLine.id)
            .limit(_AT_ONCE)
        )
        with self._database.reading() as session:
            if session.execute(asked.limit(1)).first() is None:
                return 0
        with self._database.writing() as session:
            rows = session.execute(asked).all()
            opened = []
            for line, deployment in rows:
                opened.append(
                    Workitem(
                        uid=made_uid(),
                        study=line.study,
                        line=line.id,
                        code=deployment.pathway.upper()[:16].strip("-"),
                        scheme=OWN,
                        meaning=deployment.pathway,
                        label=deployment.pathway,
                        priority="HIGH" if line.priority == "emergency" else "MEDIUM",
                        state=StepState.SCHEDULED,
                        made_by=BY,
                        made_at=line.arrived_at,
                        changed_at=line.arrived_at,
                    )
                )
            session.add_all(opened)
            self._subscriptions.opened(session, opened)
        return len(rows)

    def _follow(self) -> int:
        asked = (
            select(Workitem, WorklistLine)
            .join(WorklistLine, WorklistLine.id == Workitem.line)
            .where(Workitem.state.not_in(FINAL), WorklistLine.state != ReadingState.WAITING)
            .limit(_AT_ONCE)
        )
        with self._database.reading() as session:
            if session.execute(asked.limit(1)).first() is None:
                return 0
        with self._database.writing() as session:
            rows = session.execute(asked).all()
            for row, line in rows:
                ended = Request.COMPLETE if line.state in WITH_RESULT else Request.CANCEL
                row.transaction_uid = made_uid()
                for request in (Request.CLAIM, ended):
                    following = outcome(request, StepState(row.state), row.transaction_uid, row.transaction_uid)
                    assert not isinstance(following, Fault)  # noqa: S101 - asked of those that haven't ended
                    row.state = following
                    self._subscriptions.moved(session, row, following)
                row.changed_at = line.read_at or self._clock()
        return len(rows)
