"""Who is told of workitems, and what waits to be told: PS3.4 CC.2.3 and CC.2.4, PS3.18 11.10 to 11.13.

What is to be told is written in the transaction of the change itself, once for each subscriber, and goes once it was
sent: whoever was away for less than `KEPT` is told when it comes back. No report names a patient or says what a model
found; whose workitem it is, a subscriber asks for with its token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.dicomweb.failure import not_found
from wardround.node.dicomweb.header import Json
from wardround.node.dicomweb.tables import WebToken
from wardround.node.workitems import attributes as at
from wardround.node.workitems.states import StepState
from wardround.node.workitems.tables import Workitem, WorkitemReport, WorkitemSubscription, WorkitemWatch
from wardround.node.workitems.telling import WorkitemView

ALL, FILTERED = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
"""The well-known UIDs of the worklist, and of what of it meets matching keys (PS3.4 CC.3.1)."""
EVENTS = "1.2.840.10008.5.1.4.34.6.4"
"""The SOP Class of event reports."""
KEPT = timedelta(days=1)
"""So long a report waits for a subscriber that isn't there."""
_SWEPT_EVERY = timedelta(hours=1)
_AT_ONCE = 100


class Event(IntEnum):
    """Event Type IDs (PS3.4 Table CC.2.4-1)."""

    STATE = 1
    CANCEL_REQUESTED = 2
    PROGRESS = 3
    ASSIGNED = 5


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An AE title of a token."""

    token: str
    title: str


class Subscriptions:
    """Args:
    view: says whether a workitem meets matching keys, and whether its study is here still.
    keep: for how long a study stays.
    """

    def __init__(self, database: Database, view: WorkitemView, keep: timedelta, clock: Clock) -> None:
        self.database = database
        self._view = view
        self._keep = keep
        self._clock = clock
        self._swept: datetime | None = None

    def subscribe(self, who: Subscriber, resource: str, keys: Mapping[str, str], *, actor: str) -> None:
        """To a workitem, or to the worklist: then to what is here, too. How each stands is told at first.

        Args:
            resource: the workitem's UID, or `ALL` or `FILTERED`.
            keys: of `FILTERED`, as `tables.WorkitemWatch` has them.

        Raises:
            WebFailure: 404, no such workitem.
        """
        with self.database.writing() as session:
            if resource in (ALL, FILTERED):
                named = WorkitemWatch(token=who.token, title=who.title, resource=resource, keys=dict(keys))
                named.made_at = self._clock()
                session.merge(named)
            elif not self._join(session, who, resource, resource):
                raise not_found()
            self._record(session, actor, "subscribe-workitems", who, resource)
        if resource in (ALL, FILTERED):
            # What is created from here on is subscribed to as it is created. What was there is looked at apart: that
            # reads files, and holds up no other writer.
            here = self._view.meeting(keys)
            with self.database.writing() as session:
                for uid in here:
                    self._join(session, who, resource, uid)

    def unsubscribe(self, who: Subscriber, resource: str, *, actor: str) -> None:
        """From a workitem; from the whole worklist and each workitem; or from what was subscribed to by matching keys.

        Raises:
            WebFailure: 404, there is no such subscription.
        """
        with self.database.writing() as session:
            left = self._unwatch(session, who, resource)
            of = delete(WorkitemSubscription).where(*_of(WorkitemSubscription, who))
            if resource == FILTERED:
                of = of.where(WorkitemSubscription.resource == FILTERED)
            elif resource != ALL:
                of = of.where(WorkitemSubscription.workitem == resource)
            gone = session.execute(of.returning(WorkitemSubscription.workitem)).all()
            if not left and not gone:
                raise not_found()
            self._record(session, actor, "unsubscribe-workitems", who, resource)

    def suspend(self, who: Subscriber, resource: str, *, actor: str) -> None:
        """Be subscribed to nothing more that is created; what is subscribed to stays so. Raises `WebFailure`: 404."""
        with self.database.writing() as session:
            if not self._unwatch(session, who, resource):
                raise not_found()
            self._record(session, actor, "suspend-subscription", who, resource)

    def opened(self, session: Session, rows: Sequence[Workitem]) -> None:
        """Workitems were created, in this very transaction."""
        session.flush()
        for watch in session.scalars(select(WorkitemWatch)).all():
            who = Subscriber(watch.token, watch.title)
            for row in rows:
                if self._view.meets(session, row, watch.keys):
                    self._join(session, who, watch.resource, row.uid)
        for row in rows:
            if row.assigned:
                self.assigned(session, row)

    def assigned(self, session: Session, row: Workitem) -> None:
        """A station is to do the work, or none in particular any more."""
        self.told(session, row, Event.ASSIGNED, {at.ASSIGNED: at.station(row.assigned)})

    def moved(self, session: Session, row: Workitem, *states: StepState) -> None:
        """A workitem came into a state, by way of those before."""
        for state in states:
            self.told(session, row, Event.STATE, {at.STATE: at.one("CS", state)})

    def told(self, session: Session, row: Workitem, event: Event, said: Json) -> None:
        session.flush()
        query = select(WorkitemSubscription).where(WorkitemSubscription.workitem == row.uid)
        for one in session.scalars(query).all():
            self._report(session, Subscriber(one.token, one.title), row.uid, event, said)

    def waiting(self, who: Subscriber) -> list[tuple[int, str]]:
        """What a subscriber is to be told next, oldest first: a number, by which it is forgotten, and the report in the
        DICOM JSON Model; empty where the workitem's study was purged, since nothing is told of it any more."""
        query = select(WorkitemReport).where(*_of(WorkitemReport, who)).order_by(WorkitemReport.id).limit(_AT_ONCE)
        with self.database.reading() as session:
            rows = session.scalars(query).all()
        ready = {uid: self._view.readiness(uid) for uid in {row.workitem for row in rows}}
        return [(row.id, _message(row, ready[row.workitem])) for row in rows]

    def forget(self, numbers: Iterable[int]) -> None:
        """These were told."""
        with self.database.writing() as session:
            session.execute(delete(WorkitemReport).where(WorkitemReport.id.in_(list(numbers))))

    def sweep(self) -> None:
        """Once an hour, forget what nobody came for, workitems of purged studies, and subscribers without a token."""
        now = self._clock()
        if self._swept is not None and now < self._swept + _SWEPT_EVERY:
            return
        self._swept = now
        revoked = select(WebToken.name).where(WebToken.revoked_at.is_not(None))
        old = select(Workitem.uid).where(Workitem.made_at < now - self._keep)
        with self.database.writing() as session:
            session.execute(delete(WorkitemReport).where(WorkitemReport.at < now - KEPT))
            session.execute(delete(WorkitemSubscription).where(WorkitemSubscription.workitem.in_(old)))
            for table in (WorkitemReport, WorkitemSubscription, WorkitemWatch):
                session.execute(delete(table).where(table.token.in_(revoked)))

    def _join(self, session: Session, who: Subscriber, resource: str, uid: str) -> bool:
        """Whether the workitem is here, and so is subscribed to."""
        row = session.get(Workitem, uid)
        if row is None:
            return False
        there = session.get(WorkitemSubscription, (uid, who.token, who.title))
        if there is None:
            session.add(WorkitemSubscription(workitem=uid, token=who.token, title=who.title, resource=resource))
        elif resource == uid:
            there.resource = uid
        if there is None or resource == uid:
            self._report(session, who, uid, Event.STATE, {at.STATE: at.one("CS", row.state)})
        return True

    def _report(self, session: Session, who: Subscriber, uid: str, event: Event, said: Json) -> None:
        text = json.dumps(said, separators=(",", ":")).encode()
        named = WorkitemReport(workitem=uid, token=who.token, title=who.title, event=event, said=text, at=self._clock())
        session.add(named)

    @staticmethod
    def _unwatch(session: Session, who: Subscriber, resource: str) -> bool:
        of = delete(WorkitemWatch).where(*_of(WorkitemWatch, who))
        of = of if resource == ALL else of.where(WorkitemWatch.resource == resource)
        return bool(session.execute(of.returning(WorkitemWatch.resource)).all())

    def _record(self, session: Session, actor: str, verb: str, who: Subscriber, resource: str) -> None:
        audit.record(session, actor, verb, who.title, resource, clock=self._clock)


def _of(
    table: type[WorkitemWatch | WorkitemSubscription | WorkitemReport], who: Subscriber
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.token == who.token, table.title == who.title


def _message(row: WorkitemReport, ready: str | None) -> str:
    if ready is None:
        return ""
    said: Json = json.loads(row.said)
    if row.event == Event.STATE:
        said[at.READINESS] = at.one("CS", ready)
    told = {
        at.AFFECTED_CLASS: at.one("UI", EVENTS),
        at.MESSAGE: at.one("US", row.id % 0xFFFF + 1),
        at.AFFECTED_INSTANCE: at.one("UI", row.workitem),
        at.EVENT_TYPE: at.one("US", row.event),
    }
    return json.dumps(dict(sorted((told | said).items())), separators=(",", ":"))
