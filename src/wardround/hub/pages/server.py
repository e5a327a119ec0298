"""The hub's pages as a part of it, where its settings have them."""

from __future__ import annotations

from wardround.hub.home import HubHome
from wardround.hub.people.roster import roster_of
from wardround.hub.runs.starting import Beginnings
from wardround.ui.server import PagesServer


def pages_at(home: HubHome) -> list[Beginnings | PagesServer]:
    """None by default; what is begun by them ends after they do.

    Raises:
        SettingsRefused: the files of their certificate can't be used.
    """
    if not home.settings.pages.enabled:
        return []
    from wardround.hub.pages.table import TEMPLATES, pages  # a hub without pages loads none of it

    beginnings = Beginnings(home)
    server = PagesServer(roster_of(home), pages(home, beginnings), TEMPLATES, home.settings.pages, home.path)
    return [beginnings, server]
