"""Serves annotation from a thread of the node, on an address of its own."""

from __future__ import annotations

import logging

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from wardround.dicom.network import Landing
from wardround.foundation.clock import Clock
from wardround.foundation.loop import Loop
from wardround.foundation.web_server import WebServer
from wardround.node.annotate.desk import AnnotationDesk
from wardround.node.annotate.doorway import Doorway
from wardround.node.annotate.service import application
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.failure import WebFailure
from wardround.node.dicomweb.service import Parts
from wardround.node.dicomweb.service import application as dicomweb
from wardround.node.dicomweb.tokens import Caller, Scope
from wardround.node.receive.route import StudyPath
from wardround.node.settings import AnnotationSettings

log = logging.getLogger(__name__)

LOOKED_EVERY = 30.0


def annotation_app(desk: AnnotationDesk, catalogue: Catalogue, landing: Landing, clock: Clock) -> FastAPI:
    """MONAI Label's API over `desk`, and DICOMweb over `catalogue` for the same people."""

    def reader(header: str) -> Caller | None:
        try:
            return Caller(desk.callers.caller(header).person.name, Scope.READ, StudyPath.RESEARCH, "person")
        except WebFailure:
            return None

    parts = Parts(desk.database, catalogue, landing, {}, clock, callers=reader)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.mount("/", Doorway(application(desk), dicomweb(parts)))
    if desk.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(desk.origins),
            allow_methods=["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"],
            allow_headers=["Authorization", "Accept", "Content-Type"],
            expose_headers=["Content-Disposition", "Content-Location", "Warning"],
        )
    return app


class AnnotationServer:
    """The home's annotation, for clients; `desk` is what its pages stand on too.

    Raises:
        SettingsRefused: the files of its certificate can't be used.
    """

    def __init__(
        self, desk: AnnotationDesk, settings: AnnotationSettings, catalogue: Catalogue, landing: Landing, clock: Clock
    ) -> None:
        self.desk = desk
        self._looking = Loop("annotation", [self.desk.look_at_images], pause=LOOKED_EVERY)
        self._server = WebServer(
            annotation_app(self.desk, catalogue, landing, clock),
            "annotation",
            host=settings.host,
            port=settings.port,
            certificate=settings.certificate,
            key=settings.key,
        )

    @property
    def port(self) -> int:
        return self._server.port

    def start(self) -> None:
        self.desk.start()
        self._looking.start()
        self._server.start()
        log.info("annotation is served on port %d", self.port)

    def stop(self) -> None:
        self._server.stop()
        self._looking.stop()
        self.desk.stop()
