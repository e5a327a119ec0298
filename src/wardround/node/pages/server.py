"""The node's pages as a part of it, where its settings have them."""

from __future__ import annotations

from wardround.node.desk import Desk
from wardround.node.people.roster import roster_of
from wardround.ui.server import PagesServer


def pages_at(desk: Desk) -> list[PagesServer]:
    """None by default.

    Raises:
        SettingsRefused: the files of their certificate can't be used.
    """
    home = desk.home
    if not home.settings.pages.enabled:
        return []
    from wardround.node.pages.table import TEMPLATES, pages  # a node without pages loads none of it

    roster = roster_of(home)
    return [PagesServer(roster, pages(desk), TEMPLATES, home.settings.pages, home.path)]
