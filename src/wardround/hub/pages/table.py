"""Every page of a hub in one table: where it is, who may, what answers. `ui.page` says how to add one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from wardround.hub.audit import Audit
from wardround.hub.home import HubHome
from wardround.hub.pages.federation import federation
from wardround.ui import record, rosters, trail
from wardround.ui.page import Page

TEMPLATES = Path(__file__).parent / "templates"


def pages(home: HubHome) -> tuple[Page, ...]:
    """The table, in the order of the menu."""
    return (
        Page("GET", "/federation", "see-federation", partial(federation, home), place="Federation"),
        *record.pages(home.database, lambda: home.ledger_signer.verifier),
        *rosters.pages(),
        *trail.pages(Audit),
    )
