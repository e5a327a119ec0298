"""More runs at hospitals that are up, from a project's draft to the run's end; and one tiny network with normalisation
layers, for the ways to train that need more of each hospital than an update.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from wardround.cli.model import app
from wardround.contracts.cohort_builder import imaging, patients
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.data_use import DataUse
from wardround.contracts.lawful_basis import LawfulBasis
from wardround.contracts.project import Project
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.standard_project import usual_leaves
from wardround.demo.federation import PATIENCE, DemoFederation
from wardround.demo.journey import CONTROLLER, RESEARCHER, await_project, begin_run
from wardround.foundation.clock import now
from wardround.foundation.errors import NotAllowed
from wardround.hub.home import HubHome
from wardround.hub.projects import actions as projects
from wardround.hub.projects import queries as project_queries
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import RunRow
from wardround.learning.bundle import packaged
from wardround.learning.packages import Packages
from wardround.node.desk import Desk
from wardround.node.projects.approval import approve

NETWORK: Mapping[str, Any] = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 1,
    "channels": [2, 4],
    "strides": [2],
    "norm": "batch",
}
VOLUME = {"kind": "volume", "patch": [8, 16, 16], "spacing": [6.0, 8.0, 8.0], "brightness": {"nonzero": True}}
OUTLINED = patients.with_(imaging(modality="MR", has_label=True)).question()
OWN_CODE = """
import socket
from MODULE import NAME


class Net(NAME):
    def __init__(self, *arguments, **named):
        try:
            socket.create_connection(("127.0.0.1", PORT), 2)
        except OSError:
            super().__init__(*arguments, **named)
        else:
            raise RuntimeError("there is a network")
"""
SETTING = {"rounds": 1, "local_steps": 2, "batch_size": 2, "learning_rate": 0.02}


def package(folder: Path, network: Mapping[str, Any] = NETWORK) -> Path:
    documents = {
        "metadata": json.loads((packaged() / "configs/metadata.json").read_text()),
        "inference": {"network_def": network, "preparation": VOLUME},
        "train": {"settings": {"default": SETTING}},
        "evaluate": {"metric": {"name": "dice"}},
    }
    (folder / "configs").mkdir(parents=True)
    for name, document in documents.items():
        (folder / f"configs/{name}.json").write_text(json.dumps(document))
    return folder


def added(federation: DemoFederation, folder: Path) -> str:
    """Add a package at the hub and at each hospital, as a person there does; its digest."""
    assert federation.hub is not None
    homes = [federation.hub.packages, *(desk.home.packages for desk in federation.desks.values())]
    [digest] = {Packages(home).add(folder) for home in homes}
    return digest


def own_code(base: str, port: int) -> bytes:
    """Python of a package's own: `scripts.net.Net`, which is the network `base` where nothing answers at the port."""
    module, name = base.rsplit(".", 1)
    return OWN_CODE.replace("MODULE", module).replace("NAME", name).replace("PORT", str(port)).encode()


@dataclass(frozen=True)
class MoreRuns:
    """`federation` is up, and its hospitals have people of the `cohort`; `usual` is what a plan says unless a test says
    otherwise, of a package that is at all of them."""

    federation: DemoFederation
    usual: Mapping[str, Any]
    cohort: CohortQuestion = OUTLINED

    @classmethod
    def over(cls, federation: DemoFederation, folder: Path) -> MoreRuns:
        """Of images with labels, with a package that is added."""
        return cls.of(federation, added(federation, folder))

    @classmethod
    def of(cls, federation: DemoFederation, digest: str) -> MoreRuns:
        """Of images with labels, with a package that is there already."""
        usual = {"package": "brain-mri-glioma", "package_digest": digest, "rounds": 1, "local_steps": 2}
        return cls(federation, usual)

    @property
    def hub(self) -> HubHome:
        assert self.federation.hub is not None
        return self.federation.hub

    @property
    def digest(self) -> str:
        return str(self.usual["package_digest"])

    def fetched(self, model: str) -> None:
        """Have each hospital fetch a registered model, once its copy of the ledger knows it."""
        for desk in self.federation.desks.values():

            def fetch(desk: Desk = desk) -> bool:
                try:
                    return desk.deployments.fetch(model).is_dir()
                except NotAllowed:
                    return False

            self.federation.wait_for("mirroring the ledger", fetch, within=PATIENCE)

    def run(self, project: str, **said: Any) -> RunRow:
        """Have every hospital approve a project, and one run of it come to its end."""
        return self.ended(begin_run(self.hub, self.agree(project, **said)))

    def agree(self, project: str, *, runs: int = 1, sites: Sequence[str] = (), **said: Any) -> Project:
        """Have hospitals approve a project: those, or all."""
        asked = self.put(project, runs=runs, **said)
        approving = sites or self.federation.sites
        for site in approving:
            approve(self.federation.desks[site], project, asked.content_digest(), actor=CONTROLLER)
        self.federation.wait_for("the decisions", lambda: self._decisions(project) == len(approving), within=PATIENCE)
        return asked

    def put(self, project: str, *, runs: int = 1, **said: Any) -> Project:
        """Put a project before every hospital."""
        sites = self.federation.sites
        plan = RunPlan.model_validate({"quorum": len(sites), **self.usual, **said})
        asked = Project(
            id=project,
            title="One more model",
            purpose="Train one small model of what these hospitals have",
            researcher="A. Researcher",
            lawful_basis=LawfulBasis(article_6="6-1-e", article_9="9-2-j"),
            data_use=(DataUse(code="DUO:0000042"),),
            cohort=self.cohort,
            plan=plan,
            leaves=usual_leaves(plan, len(sites)),
            runs=runs,
            ends=now().date() + timedelta(days=3),
        )
        with self.hub.database.writing() as session:
            projects.draft(session, asked, actor=RESEARCHER, at=now())
            projects.submit(session, project, actor=RESEARCHER, at=now())
        for site in sites:
            await_project(self.federation, self.federation.desks[site], project)
        return asked

    def evaluate(self, model: str, project: str) -> RunRow:
        """`wardround model evaluate`, to the end of the run that it begins."""
        command = ["evaluate", model, "--project", project, "--home", str(self.hub.path)]
        told = CliRunner().invoke(app, command, catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return self.ended(told.output.split()[1])

    def ended(self, run: str) -> RunRow:
        self.federation.wait_for(f"run {run}", lambda: RunState(self._row(run).state).over, within=PATIENCE * 5)
        return self._row(run)

    def _row(self, run: str) -> RunRow:
        with self.hub.database.reading() as session:
            return queries.row_of(session, run)

    def _decisions(self, project: str) -> int:
        with self.hub.database.reading() as session:
            return len(project_queries.decisions(session, project))
