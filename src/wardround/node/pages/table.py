"""Every page of a node in one table: where it is, who may, what answers. `ui.page` says how to add one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from wardround.node.audit import Audit
from wardround.node.desk import Desk
from wardround.node.pages import asked
from wardround.node.pages.leaving import left
from wardround.node.pages.today import today
from wardround.ui import rosters, trail
from wardround.ui.page import Page, Scope

TEMPLATES = Path(__file__).parent / "templates"


def pages(desk: Desk) -> tuple[Page, ...]:
    """The table, in the order of the menu."""
    return (
        Page("GET", "/today", "see-today", partial(today, desk), place="Today"),
        Page("GET", "/projects", "see-asked", partial(asked.projects, desk), Scope.EACH, place="Projects"),
        Page("GET", "/projects/{project}", "see-asked", partial(asked.project, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/approve", "approve-project", partial(asked.approve, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/refuse", "refuse-project", partial(asked.refuse, desk), Scope.PROJECT),
        Page("POST", "/projects/{project}/withdraw", "withdraw-project", partial(asked.withdraw, desk), Scope.PROJECT),
        Page("GET", "/left", "see-leaving", partial(left, desk), place="What left"),
        *rosters.pages(),
        *trail.pages(Audit),
    )
