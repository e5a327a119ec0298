"""The page of the audit: who did what to what, and when."""

from __future__ import annotations

from functools import partial

from sqlalchemy import select

from wardround.foundation.audit import AuditColumns
from wardround.foundation.errors import NotAllowed
from wardround.ui.forms import whole
from wardround.ui.page import Page, Shown, Visit

SHOWN = 100


def pages(audit: type[AuditColumns]) -> tuple[Page, ...]:
    """`audit` is the program's own table."""
    return (Page("GET", "/audit", "see-audit", partial(trail, audit), place="Audit"),)


def trail(audit: type[AuditColumns], visit: Visit) -> Shown:
    """The newest rows, of one actor or of one verb where that is asked, from before a row where that is."""
    actor, verb, before = visit.asked("actor"), visit.asked("verb"), visit.asked("before")
    if before and whole(before, 18) is None:
        raise NotAllowed(f"{before!r} is no number of a row")
    query = select(audit.id, audit.at, audit.actor, audit.verb, audit.subject, audit.detail)
    if actor:
        query = query.where(audit.actor == actor)
    if verb:
        query = query.where(audit.verb == verb)
    if before:
        query = query.where(audit.id < int(before))
    with visit.roster.database.reading() as session:
        rows = session.execute(query.order_by(audit.id.desc()).limit(SHOWN + 1)).all()
    more = rows[SHOWN - 1].id if len(rows) > SHOWN else None
    return Shown("audit.html", {"rows": rows[:SHOWN], "actor": actor, "verb": verb, "before": before, "more": more})
