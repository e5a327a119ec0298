"""The page of the federation: its hospitals, when each was last heard, and who is in which run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy.orm import Session

from wardround.hub.home import HubHome
from wardround.hub.runs import queries as runs
from wardround.hub.runs.states import RunState
from wardround.hub.sites.queries import sites
from wardround.ledger.quorum import quorum
from wardround.ui.page import Shown, Visit

SILENT = timedelta(minutes=2)
"""A node asks for work all the time: one that hasn't for so long isn't there."""


def federation(home: HubHome, visit: Visit) -> Shown:
    with home.database.reading() as session:
        lines, busy = sites(session), _busy(session, visit)
    members, faults = sum(line.state == "member" for line in lines), home.settings.faults
    values = {
        "sites": [
            (line, line.heard_at is not None and visit.at - line.heard_at < SILENT, busy.get(line.name, []))
            for line in lines
        ],
        "members": members,
        "quorum": quorum(members, faults) if faults < members else None,
        "settings": home.settings,
    }
    return Shown("federation.html", values)


def _busy(session: Session, visit: Visit) -> Mapping[str, list[tuple[str, str]]]:
    """Project and run of those that aren't over, by each hospital that took part in the last whole round of it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in runs.runs(session):
        if RunState(row.state).over or not visit.may("see-runs", row.project):
            continue
        for site in runs.round_sites(session, row.id, row.round):
            if site.state == "taken":
                found.setdefault(site.site, []).append((row.project, row.id))
    return found
