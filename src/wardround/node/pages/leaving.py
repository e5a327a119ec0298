"""The page of what left: every message, its kind, its size and how it ended; totals, and a chart by week."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select

from wardround.foundation.errors import NotAllowed
from wardround.node.desk import Desk
from wardround.node.gateway.egress import bytes_out, left_here, totals
from wardround.node.gateway.tables import Egress
from wardround.ui.chart import Bar, bars, mondays
from wardround.ui.forms import whole
from wardround.ui.page import Shown, Visit

SHOWN = 100
WEEKS = 12

MEANS = {
    "sending": "on its way, or cut off by a crash: counted as gone",
    "sent": "left, and the hub answered",
    "carried": "left on the engine's own connection, which is only counted",
    "refused": "refused by the hub; or, without a digest, held back here by this hospital's policy",
    "unanswered": "left, and no answer came",
    "unreachable": "nothing left: the hub wasn't reached",
    "untrusted": "nothing left: who answered isn't the hub",
}

KINDS = {
    "join-request": "asked to be a member, once: its keys' public halves",
    "certificate-renewal": "asked for its next certificate, by its key's public half",
    "task-poll": "asked the hub whether there is anything to do",
    "task-report": "how something that the hub asked ended, as a code",
    "ledger-submission": "a signed line for the ledger that every hospital keeps",
    "mirror-request": "asked for what is new on the ledger",
    "witness-cosignature": "signed that the ledger only grew",
    "cohort-answer": "about how many people a question found here, nothing of fewer than ten",
    "project-decision": "approved, refused or withdrew a project",
    "run-update": "what a model learned here in a round, as the project's plan lets it leave",
    "masking-message": "keys with which hospitals hide their updates from the hub",
    "local-model": "a model that learned from this hospital's patients alone, for comparison",
    "evaluation-result": "how good a model is on patients held out here, as one number",
    "evidence-summary": "what a validation here showed of all of its patients together",
    "object-request": "asked for a model",
    "job-refused": "refused work that this hospital doesn't allow",
    "engine-traffic": "bytes that the training engine carried, updates among them",
}
"""What each kind of message is, for a data controller to read."""


def left(desk: Desk, visit: Visit) -> Shown:
    """The newest messages, of one kind or project where that is asked, from before a number where that is."""
    kind, project, before = visit.asked("kind"), visit.asked("project"), visit.asked("before")
    if before and whole(before, 18) is None:
        raise NotAllowed(f"{before!r} is no number of a message")
    query = select(Egress)
    if kind:
        query = query.where(Egress.kind == kind)
    if project:
        query = query.where(Egress.project == project)
    if before:
        query = query.where(Egress.id < int(before))
    weeks = mondays(visit.at, WEEKS)
    size = func.sum(Egress.size)
    counted = [size.filter((Egress.at >= week) & (Egress.at < week + timedelta(weeks=1))) for week in weeks]
    with desk.home.database.reading() as session:
        rows = session.scalars(query.order_by(Egress.id.desc()).limit(SHOWN + 1)).all()
        # The engine's bytes are counted where they are carried; its updates would be counted twice.
        weekly = session.execute(select(*counted).where(left_here(), Egress.kind != "run-update")).one()
        by_kind, everything = totals(session), bytes_out(session)
    columns = [Bar(f"{week:%d %b}", (float(count or 0) / 1e6,)) for week, count in zip(weeks, weekly, strict=True)]
    values = {
        "rows": rows[:SHOWN],
        "more": rows[SHOWN - 1].id if len(rows) > SHOWN else None,
        "kind": kind,
        "project": project,
        "totals": by_kind,
        "everything": everything,
        "means": MEANS,
        "kinds": KINDS,
        "chart": bars("Megabytes that left in each of the last 12 weeks, by its Monday", ("MB",), columns, every=2),
    }
    return Shown("left.html", values)
