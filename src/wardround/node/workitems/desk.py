"""What is done with workitems: each a verb with its actor, audited in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.dicom.json_model import sequence, text
from wardround.dicom.source_header import made_uid
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic.states import ReadingState, check_transition
from wardround.node.clinic.tables import WorklistLine
from wardround.node.dicomweb.failure import WebFailure, bad_request, not_found
from wardround.node.dicomweb.header import Json, is_uid
from wardround.node.receive.clinical import clinical_studies
from wardround.node.workitems import attributes as at
from wardround.node.workitems.demands import (
    CANCEL_SAID,
    PROGRESS_SAID,
    Task,
    assigned_in,
    lacking,
    read_update,
    to_report,
)
from wardround.node.workitems.states import (
    ASKING,
    FINAL,
    NOT_FINAL,
    OWN,
    Fault,
    Request,
    StepState,
    outcome,
)
from wardround.node.workitems.subscriptions import Event, Subscriptions
from wardround.node.workitems.tables import Workitem, said_of

CANCEL_REASON = "cancel-requested"


class Refused(WebFailure):
    """409, with the reason (PS3.18 11.7.3.1)."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(409, fault.words, warned=True)


class WorkitemDesk:
    """Creates and changes workitems.

    Args:
        clinical: where the studies of the clinical path lie.
        key_of: a study's key, by its Study Instance UID.
        subscriptions: tell who asked to be told.
    """

    def __init__(
        self,
        database: Database,
        clinical: Path,
        key_of: Callable[[str], str],
        subscriptions: Subscriptions,
        clock: Clock,
    ) -> None:
        self._database = database
        self._clinical = clinical
        self._key_of = key_of
        self._subscriptions = subscriptions
        self._clock = clock

    def create(self, task: Task, *, actor: str) -> str:
        """A task for others on a study that is here; returns its UID.

        Raises:
            WebFailure: 400, the study isn't on the clinical path here; 409, there is a workitem of that UID.
        """
        uid, study = task.uid or made_uid(), self._key_of(task.study)
        if not clinical_studies(self._database, self._clinical, complete=None, key=study):
            raise bad_request("the study isn't on the clinical path of this node")
        value, scheme, meaning = task.code
        now = self._clock()
        with self._database.writing() as session:
            if session.get(Workitem, uid) is not None:
                raise Refused(Fault(0x0111, "The Target Workitem already exists"))
            row = Workitem(
                uid=uid,
                study=study,
                line=None,
                code=value,
                scheme=scheme,
                meaning=meaning,
                label=task.label,
                priority=task.priority,
                assigned=None if task.assigned is None else list(task.assigned),
                state=StepState.SCHEDULED,
                made_by=actor,
                made_at=now,
                changed_at=now,
            )
            session.add(row)
            self._subscriptions.opened(session, [row])
            self._told(session, row, actor, "create-workitem", value)
        return uid

    def update(self, uid: str, said: Json, transaction: str | None, *, actor: str) -> None:
        """Raises `WebFailure`: 400, 404 or 409."""
        given = transaction or text(said, at.TRANSACTION_UID) or None
        with self._database.writing() as session:
            row = self._others(session, uid)
            state = StepState(row.state)
            self._next(row, Request.UPDATE, given)
            changes = read_update(said, state)
            if state is StepState.SCHEDULED:
                row.label = text(changes, at.LABEL) or row.label
                row.priority = text(changes, at.PRIORITY) or row.priority
                if at.ASSIGNED in changes:
                    station = assigned_in(changes)
                    row.assigned = None if station is None else list(station)
                    self._subscriptions.assigned(session, row)
            else:
                row.performed = json.dumps(said_of(row) | changes, separators=(",", ":")).encode()
                for progress in sequence(changes, at.PROGRESS):
                    repeated = to_report(progress, PROGRESS_SAID)
                    self._subscriptions.told(session, row, Event.PROGRESS, {at.PROGRESS: at.items(repeated)})
            row.changed_at = self._clock()
            self._told(session, row, actor, "update-workitem")

    def change_state(self, uid: str, wanted: StepState, transaction: str | None, *, actor: str) -> Fault | None:
        """Claim, complete or cancel; a warning where it is so already. Raises `WebFailure`: 400, 404 or 409."""
        if transaction and not is_uid(transaction):
            raise bad_request("Transaction UID is none")
        with self._database.writing() as session:
            row = self._others(session, uid)
            following = self._next(row, ASKING[wanted], transaction)
            if isinstance(following, Fault):
                return following
            if following in FINAL and (missing := lacking(following, said_of(row))):
                raise Refused(Fault(NOT_FINAL.status, f"{NOT_FINAL.words}: {', '.join(missing)}"))
            if following is StepState.IN_PROGRESS:
                row.transaction_uid = transaction
            row.state, row.changed_at = following, self._clock()
            self._subscriptions.moved(session, row, following)
            self._told(session, row, actor, "change-workitem", following)
        return None

    def ask_cancel(self, uid: str, said: Json, *, asking: str, actor: str) -> Fault | None:
        """Cancel what nobody works on yet; of what somebody does, the performer is told. A reading that was waiting
        isn't done, and its study keeps its normal order. Raises `WebFailure`: 400, 404 or 409.

        Args:
            said: reason and whom to ask, as the request has them.
            asking: who asks, as an AE title.
        """
        repeated, reason = to_report(said, CANCEL_SAID), text(said, at.REASON)
        with self._database.writing() as session:
            row = _row(session, uid)
            following = self._next(row, Request.ASK_CANCEL, None)
            if isinstance(following, Fault):
                return following
            if following is StepState.CANCELED and row.line is not None:
                line = session.get_one(WorklistLine, row.line)
                if line.state != ReadingState.WAITING:
                    # It was read since; what came of it is told at the next look.
                    raise Refused(Fault(0xC311, "The Target Workitem has just been worked on"))
                check_transition(ReadingState.WAITING, ReadingState.FAILED)
                line.state, line.reason = ReadingState.FAILED, CANCEL_REASON
                audit.record(session, actor, "fail-study", line.study, CANCEL_REASON, clock=self._clock)
            row.state, row.reason, row.changed_at = following, reason[:64], self._clock()
            if following is StepState.CANCELED:
                self._subscriptions.moved(session, row, StepState.IN_PROGRESS, following)
            else:
                asked = {at.REQUESTING: at.one("AE", asking)} | repeated
                self._subscriptions.told(session, row, Event.CANCEL_REQUESTED, asked)
            self._told(session, row, actor, "cancel-workitem")
        return None

    def _others(self, session: Session, uid: str) -> Workitem:
        """A workitem that others work on. What this node works on itself is nobody else's: a reading by something else
        than the model in use would count as that model's."""
        row = _row(session, uid)
        if row.line is not None:
            raise Refused(OWN)
        return row

    @staticmethod
    def _next(row: Workitem, request: Request, given: str | None) -> StepState | Fault:
        """What follows a request, or the warning that it is so already. Raises `Refused`."""
        following = outcome(request, StepState(row.state), row.transaction_uid, given)
        if isinstance(following, Fault) and not following.warning:
            raise Refused(following)
        return following

    def _told(self, session: Session, row: Workitem, actor: str, verb: str, detail: str = "") -> None:
        audit.record(session, actor, verb, row.study, f"{row.code} {detail}".strip(), clock=self._clock)


def _row(session: Session, uid: str) -> Workitem:
    row = session.scalars(select(Workitem).where(Workitem.uid == uid).with_for_update()).first()
    if row is None:
        raise not_found()
    return row
