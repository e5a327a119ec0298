"""Runs with several protections and algorithms over real processes: three hospitals and their health records."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_heart_federated import rows

from wardround.contracts.cohort_builder import measurement, patients
from wardround.contracts.data_use import DataUse
from wardround.contracts.lawful_basis import LawfulBasis
from wardround.contracts.project import Project
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.standard_project import usual_leaves
from wardround.demo.federation import DemoFederation
from wardround.demo.journey import CONTROLLER, RESEARCHER, await_project, begin_run
from wardround.foundation.clock import now
from wardround.hub.home import HubHome
from wardround.hub.projects import actions as projects
from wardround.hub.projects import queries as project_queries
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import RunRow
from wardround.learning.bundle import bundle_digest, packaged
from wardround.node.budget.queries import charges
from wardround.node.projects.approval import approve

SITES = ("north", "south", "east")
ROUNDS = 2
PEOPLE = 60


class Hospitals:
    """A hub and three hospitals that serve; `run` has a project approved by all and trains it to its end."""

    def __init__(self, home: Path) -> None:
        self.federation = DemoFederation(home, SITES)
        self.hub: HubHome = self.federation.found()
        for number, site in enumerate(SITES):
            self.federation.join(site)
            self._load_records(site, rows(number, PEOPLE))
            self.federation.serve(site)
        for site in SITES:
            self.federation.await_ready(site)

    def _load_records(self, site: str, lines: str) -> None:
        folder = self.federation.home / f"records-{site}"
        folder.mkdir()
        (folder / "processed.here.data").write_text(lines)
        command = ["-m", "wardround", "node", "records", "load", folder, "--as", "csv", "--source", "heart"]
        home = self.federation.home / f"node-{site}"
        subprocess.run(
            [sys.executable, *command, "--mapping", "uci-heart", "--home", home],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, project: str, **said: Any) -> RunRow:
        asked = self._asked(project, said)
        with self.hub.database.writing() as session:
            projects.draft(session, asked, actor=RESEARCHER, at=now())
            projects.submit(session, project, actor=RESEARCHER, at=now())
        for site in SITES:
            desk = self.federation.desks[site]
            await_project(self.federation, desk, project, within=120)
            approve(desk, project, asked.content_digest(), actor=CONTROLLER)
        self.federation.wait_for("hearing the decisions", lambda: self._decisions(project) == len(SITES), within=120)
        run = begin_run(self.hub, asked)
        self.federation.wait_for("the run", lambda: RunState(self._row(run).state).over, within=420)
        return self._row(run)

    def _asked(self, project: str, said: dict[str, Any]) -> Project:
        usual = {
            "package": "heart-disease",
            "package_digest": bundle_digest(packaged("heart-disease")),
            "reads": "records",
            "metric": "auc",
            "rounds": ROUNDS,
            "local_steps": 10,
            "quorum": len(SITES),
            "compare_alone": False,
        }
        plan = RunPlan.model_validate(usual | said)
        return Project(
            id=project,
            title="Who has heart disease",
            purpose="Train one model of three hospitals' records that tells who has heart disease",
            researcher="A. Researcher",
            lawful_basis=LawfulBasis(article_6="6-1-e", article_9="9-2-j"),
            data_use=(DataUse(code="DUO:0000042"),),
            cohort=patients.with_(measurement("LOINC", "8480-6")).question(),
            plan=plan,
            leaves=usual_leaves(plan, len(SITES)),
            ends=now().date() + timedelta(days=3),
        )

    def _decisions(self, project: str) -> int:
        with self.hub.database.reading() as session:
            return len(project_queries.decisions(session, project))

    def _row(self, run: str) -> RunRow:
        with self.hub.database.reading() as session:
            return queries.row_of(session, run)

    def rounds(self, run: str) -> list[tuple[float | None, set[str]]]:
        """For each round how good its beginning was, as the hub was told, and who took part."""
        with self.hub.database.reading() as session:
            found = queries.rounds(session, run)
            return [
                (
                    one.score,
                    {site.site for site in queries.round_sites(session, run, one.number) if site.state == "taken"},
                )
                for one in found
            ]


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    made = Hospitals(tmp_path_factory.mktemp("hospitals"))
    yield made
    made.federation.stop()


def test_masked_updates_of_patients_private_training_make_a_model(hospitals: Hospitals) -> None:
    run = hospitals.run(
        "masked",
        masking={"threshold": 3},
        privacy={"clip_norm": 1.0},
        patient_privacy={"epsilon": 8, "noise_multiplier": 2.0, "sample_rate": 0.2},
    )
    assert (RunState(run.state), run.round) == (RunState.FINISHED, ROUNDS), run.reason
    (first, _), (_, everyone) = hospitals.rounds(run.id)
    assert (first, everyone) == (None, set(SITES)), "no hospital told how good a round was before the last"
    for site in SITES:
        with hospitals.federation.desks[site].home.database.reading() as session:
            paid = charges(session, "masked")
        assert [(one.round, one.steps) for one in paid] == [(number, 10) for number in range(1, ROUNDS + 1)]
        assert 0 < paid[0].epsilon < paid[-1].epsilon <= 8


@pytest.mark.parametrize("algorithm", ["scaffold", "ditto"])
def test_hospitals_that_keep_arrays_of_their_own_make_a_model(hospitals: Hospitals, algorithm: str) -> None:
    run = hospitals.run(algorithm, algorithm=algorithm)
    assert (RunState(run.state), run.round) == (RunState.FINISHED, ROUNDS), run.reason
    scores = [score for score, _ in hospitals.rounds(run.id)]
    assert scores[-1] is not None and scores[-1] > 0.8
