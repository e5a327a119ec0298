"""Serves a program's pages from a thread of it, where `[pages]` says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from wardround.foundation.web_server import WebServer
from wardround.people.roster import Roster
from wardround.ui.application import Faces
from wardround.ui.page import Page
from wardround.ui.settings import PagesSettings

log = logging.getLogger(__name__)


class PagesServer:
    """Pages as a part of a program that serves.

    Args:
        home: the folder that the files of the certificate are looked for in.
        table: the program's own pages.

    Raises:
        SettingsRefused: the files of its certificate can't be used.
    """

    def __init__(
        self, roster: Roster, table: Sequence[Page], templates: Path, settings: PagesSettings, home: Path
    ) -> None:
        self.settings = settings
        faces = Faces(roster, table, templates, secure=settings.certificate is not None)
        self._server = WebServer(
            faces.application(),
            "pages",
            host=settings.host,
            port=settings.port,
            certificate=None if settings.certificate is None else home / settings.certificate,
            key=None if settings.key is None else home / settings.key,
        )

    @property
    def address(self) -> str:
        return self.settings.address(self._server.port)

    def start(self) -> None:
        """Listen. Raises `Conflict` if the address can't be had."""
        self._server.start()
        log.info("the pages are at %s", self.address)

    def stop(self) -> None:
        self._server.stop()
