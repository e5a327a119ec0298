"""Every page of a node in one table: where it is, who may, what answers. `ui.page` says how to add one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from wardround.node.audit import Audit
from wardround.node.desk import Desk
from wardround.node.pages.today import today
from wardround.ui import rosters, trail
from wardround.ui.page import Page

TEMPLATES = Path(__file__).parent / "templates"


def pages(desk: Desk) -> tuple[Page, ...]:
    """The table, in the order of the menu."""
    return (
        Page("GET", "/today", "see-today", partial(today, desk), place="Today"),
        *rosters.pages(),
        *trail.pages(Audit),
    )
