"""Serves DICOMweb from a thread of the node, on an address of its own."""

from __future__ import annotations

import logging

from wardround.dicom.network import Landing
from wardround.foundation.clock import Clock
from wardround.foundation.web_server import WebServer
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.service import Parts, application
from wardround.node.home import NodeHome
from wardround.node.receive.route import StudyPath
from wardround.node.workitems.wiring import worklist_at

log = logging.getLogger(__name__)


class DicomWeb:
    """The home's DICOMweb service over `catalogue`.

    Raises:
        SettingsRefused: the files of its certificate can't be used.
    """

    def __init__(self, home: NodeHome, catalogue: Catalogue, landing: Landing, clock: Clock) -> None:
        settings, dicom = home.settings.dicomweb, home.settings.dicom
        parts = Parts(
            database=home.database,
            catalogue=catalogue,
            landing=landing,
            titles={StudyPath.RESEARCH.value: dicom.ae_title, StudyPath.CLINIC.value: dicom.clinic_ae_title},
            clock=clock,
            largest=settings.largest_mb * 1_000_000,
            origins=settings.origins,
            worklist=worklist_at(home, clock) if settings.worklist else None,
        )
        self._server = WebServer(
            application(parts),
            "dicomweb",
            host=settings.host,
            port=settings.port,
            certificate=settings.certificate,
            key=settings.key,
            websockets=settings.worklist,
        )

    @property
    def port(self) -> int:
        return self._server.port

    def start(self) -> None:
        self._server.start()
        log.info("DICOMweb is served on port %d", self.port)

    def stop(self) -> None:
        self._server.stop()
