"""The hub's roster of people."""

from __future__ import annotations

from wardround.hub.audit import record
from wardround.hub.home import HubHome
from wardround.people.roles import Program
from wardround.people.roster import Roster


def roster_of(home: HubHome) -> Roster:
    """The people whom this hub knows; no node does."""
    return Roster(
        home.database, Program.HUB, home.federation, home.identity / "people.key", record, home.settings.people
    )
