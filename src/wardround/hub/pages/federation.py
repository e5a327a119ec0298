"""The page of the federation: its hospitals, when each was last heard, and who is in which run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup
from sqlalchemy.orm import Session

from wardround.hub.home import HubHome
from wardround.hub.runs import queries as runs
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import RunRow
from wardround.hub.sites.queries import SiteLine, sites
from wardround.ledger.quorum import quorum
from wardround.ui.page import Shown, Visit
from wardround.ui.picture import Box, Tie, picture

SILENT = timedelta(minutes=2)
"""A node asks for work all the time: one that hasn't for so long isn't there."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A run that isn't over. `sites`: whether each took part in its last whole round; before there is one, False of
    each that is asked."""

    row: RunRow
    sites: Mapping[str, bool]


def federation(home: HubHome, visit: Visit) -> Shown:
    with home.database.reading() as session:
        lines, busy = sites(session), _busy(session, visit)
    members, faults = sum(line.state == "member" for line in lines), home.settings.faults
    values = {
        "sites": [
            (
                line,
                line.heard_at is not None and visit.at - line.heard_at < SILENT,
                [(one.row.project, one.row.id) for one in busy if one.sites.get(line.name)],
            )
            for line in lines
        ],
        "busy": busy,
        "map": _map(lines, busy),
        "members": members,
        "quorum": quorum(members, faults) if faults < members else None,
        "settings": home.settings,
    }
    return Shown("federation.html", values)


def _busy(session: Session, visit: Visit) -> list[UnderWay]:
    found = []
    for row in runs.runs(session):
        if RunState(row.state).over or not visit.may("see-runs", row.project):
            continue
        if row.round:
            taken = {site.site: site.state == "taken" for site in runs.round_sites(session, row.id, row.round)}
        else:
            taken = dict.fromkeys(runs.sites_to_ask(session, row, visit.at.date()), False)
        found.append(UnderWay(row, taken))
    return found


def _map(lines: Sequence[SiteLine], busy: Sequence[UnderWay]) -> Markup:
    """Members at the left, runs at the right; nothing where no run is under way."""
    if not busy:
        return Markup("")
    hospitals = [Box(f"site {line.name}", (line.name,)) for line in lines if line.state == "member"]
    under_way = [
        Box(f"run {one.row.id}", (one.row.id, f"{one.row.state}, round {one.row.round}"), True) for one in busy
    ]
    ties = [Tie(f"site {site}", f"run {one.row.id}", not taken) for one in busy for site, taken in one.sites.items()]
    return picture("Which hospital is in which run", (hospitals, under_way), ties)
