"""A hospital whose node reads for the clinic: hub, node and Orthanc as processes of their own, two models in use.

Debian's storescu sends to the node, and Debian's findscu asks Orthanc what came back.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from _models import glioma_model, lesion_model
from _phantoms import ct_volume
from ready import peer

if TYPE_CHECKING:
    from wardround.node.desk import Desk

FINDSCU = "/usr/bin/findscu"
ENVIRONMENT = dict(os.environ, TCP_NODELAY="1", OMP_NUM_THREADS="1")
TITLE, EXAMINERS, ASKING = "ORTHANC", "EXAMINERS", "FINDSCU"
_PATHWAY = """
title = "{title}"
purpose = "Outlines the {of}."
model = "{model}"

[studies]
when = 'Modality == "{modality}"'

[input]
orientation = ["axial"]
slices = [20, 1000]

[output]
kind = "outline"
of = "{of}"
"""


@dataclass(frozen=True)
class Hospital:
    """home: the node's. port: where it takes studies for the clinic. process: of the node. pacs: Orthanc's port."""

    home: Path
    port: int
    process: psutil.Process
    pacs: int

    def found(self, study: str = "") -> dict[str, set[str]]:
        """Which modalities of series Orthanc says that it has, by study; of one study, or of all."""
        asked = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study}", "SeriesInstanceUID=", "Modality="]
        keys = [part for key in asked for part in ("-k", key)]
        command = [FINDSCU, "-v", "-S", "-aet", ASKING, "-aec", TITLE, *keys, "127.0.0.1", str(self.pacs)]
        said = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60)
        found: dict[str, set[str]] = {}
        modality, uid = "", ""
        for line in (said.stdout + said.stderr).splitlines():
            value = line.partition("[")[2].partition("]")[0].strip(" \0")
            if "Find Response" in line:
                modality, uid = "", ""
            elif "(0008,0060)" in line:
                modality = value
            elif "(0020,000d)" in line:
                uid = value
            if modality and uid:
                found.setdefault(uid, set()).add(modality)
        return found


@contextmanager
def hospital(folder: Path, *, quiet: float, threads: int) -> Iterator[Hospital]:
    """A 3D network in shadow use on CT, the glioma package on MR; results go to a title of Orthanc's of their own."""
    from wardround.demo.federation import DemoFederation, free_ports
    from wardround.foundation.clock import now
    from wardround.hub.sites.actions import invite
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.membership.actions import join
    from wardround.node.settings import DicomSettings, PacsSettings

    values, lesion = ct_volume()
    lesions = lesion_model(folder / "lesion", values, lesion)
    glioma = glioma_model(folder / "glioma")
    federation = DemoFederation(folder / "federation", ["site"])
    # It takes from the node under either title, and answers findscu.
    known = {"node": ["WARDROUND", "127.0.0.1", 104], "asks": [ASKING, "127.0.0.1", 104]}
    with peer(folder / "orthanc", TITLE, DicomModalities=known, DicomCheckCalledAet=False) as pacs_port:
        try:
            hub = federation.found()
            with hub.database.writing() as session:
                token = invite(session, hub, "site", actor="operator:benchmark", now=now())
            home, port = folder / "federation" / "node-site", free_ports(1)[0]
            dicom = DicomSettings(port=port, quiet_seconds=quiet)
            pacs = PacsSettings(host="127.0.0.1", port=pacs_port, ae_title=TITLE, examiners_title=EXAMINERS)
            join(token, home, actor="operator:benchmark", dicom=dicom, pacs=pacs).close()
            with (home / "node.toml").open("a") as settings:
                settings.write(f"\n[learning]\nthreads = {threads}\n")
            desk = federation.desks["site"] = Desk(NodeHome(home))
            _use(desk, folder / "lesion", lesions, "ct-lesion", modality="CT", of="lesion")
            _use(desk, folder / "glioma", glioma, "mr-glioma", modality="MR", of="tumour")
            federation.serve("site")
            federation.await_ready("site")
            yield Hospital(home, port, psutil.Process(federation.process_ids()["node-site"]), pacs_port)
        finally:
            federation.stop()


def _use(desk: Desk, package: Path, digest: str, pathway: str, *, modality: str, of: str) -> None:
    """Take a model into shadow use, as the data controller and the safety officer of a hospital would."""
    from wardround.contracts.evidence import OfflineValidation
    from wardround.learning.packages import Packages
    from wardround.node.evidence.shelf import keep

    Packages(desk.home.packages).add(package)
    file = desk.deployments.definitions.file(pathway)
    file.parent.mkdir(exist_ok=True)
    file.write_text(_PATHWAY.format(title=pathway, of=of, model=digest, modality=modality))
    outcomes = {f"P{number}": (0.8,) for number in range(30)}
    record = OfflineValidation(
        run="r-1", label="federated", model=digest, pathway=pathway, metric="dice", outcomes=outcomes
    )
    with desk.home.database.writing() as session:
        keep(session, record, at=desk.clock(), actor="program", entry=1)
    desk.deployments.deploy(digest, pathway, actor="operator:benchmark")
