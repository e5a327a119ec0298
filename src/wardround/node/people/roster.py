"""The node's roster of people."""

from __future__ import annotations

from wardround.node.audit import record
from wardround.node.home import NodeHome
from wardround.people.roles import Program
from wardround.people.roster import Roster


def roster_of(home: NodeHome) -> Roster:
    """The people whom this hospital's node knows."""
    return Roster(home.database, Program.NODE, home.site, home.identity / "people.key", record, home.settings.people)
