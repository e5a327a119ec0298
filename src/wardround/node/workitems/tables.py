"""Workitems. Whose they are is said by the study's own files when it is asked; no identifier is kept here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Workitem(NodeTable):
    """A task on one study of the clinical path, in a state of `states.StepState`.

    `line` is that of the worklist which this node itself works on; a task of others' has none. `study` is the study's
    key. `code`, `scheme` and `meaning` say what is to be done (Scheduled Workitem Code). `transaction_uid` is what it
    was claimed with, which nobody is told. `performed` is the DICOM JSON of what its performer said of the work, and
    `reason` why it was to be canceled. `assigned` is the code of the station that is to do it, with its scheme and
    meaning, where the requester named one.
    """

    __tablename__ = "workitems"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    study: Mapped[str] = mapped_column(String(32), index=True)
    line: Mapped[int | None] = mapped_column(ForeignKey("worklist.id"), unique=True)
    code: Mapped[str] = mapped_column(String(16))
    scheme: Mapped[str] = mapped_column(String(16))
    meaning: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(64))
    priority: Mapped[str] = mapped_column(String(6))
    assigned: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[str] = mapped_column(String(11), index=True)
    transaction_uid: Mapped[str | None] = mapped_column(String(64))
    performed: Mapped[bytes | None] = mapped_column(LargeBinary)
    reason: Mapped[str] = mapped_column(String(64), default="")
    made_by: Mapped[str] = mapped_column(String(120))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    changed_at: Mapped[datetime] = mapped_column(UtcTime)


def said_of(row: Workitem) -> dict[str, Any]:
    """What the performer said of the work."""
    said: dict[str, Any] = json.loads(row.performed) if row.performed else {}
    return said


class WorkitemWatch(NodeTable):
    """A subscription to what is created from now on: to all of it, or to what meets `keys`, matching keys by tag and,
    inside a sequence, by the tags of both with a point between. A subscriber is an AE title of one token, and another
    token's of the same title is another one. `resource` is the well-known UID that was subscribed to."""

    __tablename__ = "workitem_watches"

    token: Mapped[str] = mapped_column(String(40), primary_key=True)
    title: Mapped[str] = mapped_column(String(16), primary_key=True)
    resource: Mapped[str] = mapped_column(String(64), primary_key=True)
    keys: Mapped[dict[str, str]] = mapped_column(JSON)
    made_at: Mapped[datetime] = mapped_column(UtcTime)


class WorkitemSubscription(NodeTable):
    """A subscriber is told of a workitem. `resource` is what was subscribed to: the workitem itself, or the well-known
    UID through which it came."""

    __tablename__ = "workitem_subscriptions"

    workitem: Mapped[str] = mapped_column(ForeignKey("workitems.uid"), primary_key=True)
    token: Mapped[str] = mapped_column(String(40), primary_key=True)
    title: Mapped[str] = mapped_column(String(16), primary_key=True)
    resource: Mapped[str] = mapped_column(String(64))


class WorkitemReport(NodeTable):
    """An event that a subscriber isn't told of yet; `event` is its type and `said` its attributes, DICOM JSON."""

    __tablename__ = "workitem_reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    workitem: Mapped[str] = mapped_column(ForeignKey("workitems.uid"))
    token: Mapped[str] = mapped_column(String(40), index=True)
    title: Mapped[str] = mapped_column(String(16))
    event: Mapped[int]
    said: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(UtcTime)
