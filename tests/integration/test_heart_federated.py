"""Two hospitals train `heart-disease` on their health records: real records, approvals, ledger, rounds and model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import select
from tests.records_lab import SECRET, Lab
from tests.unit.hub.runs.run_lab import NOON, RunLab, project
from tests.unit.node.projects.node_lab import NodeLab

from wardround.contracts.cohort_builder import measurement, patients
from wardround.contracts.project import Project
from wardround.contracts.task import EvaluateModel
from wardround.foundation.errors import NotAllowed
from wardround.hub.registry.registration import Registration
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import actions, queries
from wardround.hub.runs.states import RunState
from wardround.learning.bundle import bundle_digest, packaged
from wardround.learning.initial import beginning
from wardround.node.cohort.census import Census
from wardround.node.desk import Desk
from wardround.node.enclave.purge import holds, purge_patient
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.projects.tables import ManifestRow
from wardround.node.records.keys import RecordKeys
from wardround.node.records.sources import Options, reader
from wardround.node.training.facts import RecordsPlace
from wardround.node.training.tables import Judgement

SITES = ("north", "south")


class Here:
    """The learning process's place: this one."""

    def call(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def stop(self) -> None:
        """Nothing runs."""


class HeartNode(NodeLab):
    """A hospital with health records and no image."""

    records: Lab

    @property
    def desk(self) -> Desk:
        made = cast(Any, super().desk)
        census = Census(self.records.records, self.database, RecordKeys(SECRET), cast(Any, None))
        return cast(Desk, SimpleNamespace(**{**vars(made), "census": census}))


def rows(seed: int, count: int = 48) -> str:
    """Lines as in the heart disease collection; who is ill is older, slower at the highest rate and lower in ST."""
    draws, lines = np.random.default_rng(seed), []
    for number in range(count):
        ill = number % 2
        age, rate = 50 + 8 * ill + draws.integers(-8, 9), 155 - 30 * ill + draws.integers(-15, 16)
        cells = [age, draws.integers(2), 4, 130, "?" if number % 5 else 240, 0, 0, rate, 0, round(0.5 + 1.5 * ill, 1)]
        lines.append(",".join(str(cell) for cell in [*cells, "?", "?", "?", ill * draws.integers(1, 5)]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunLab]:
    (tmp_path / "hub").mkdir()
    made = RunLab(tmp_path / "hub")
    yield made
    made.close()


@pytest.fixture
def nodes(tmp_path: Path, hub: RunLab) -> Iterator[list[HeartNode]]:
    made = []
    for seed, site in enumerate(SITES):
        (tmp_path / site).mkdir()
        node = HeartNode(tmp_path / site, hub, site)
        folder = tmp_path / f"{site}-records"
        folder.mkdir()
        node.records = Lab(folder)
        (folder / "processed.here.data").write_text(rows(seed))
        load = reader("csv", Options(mapping="uci-heart", link=None))
        node.records.loader.load(load, folder, source="heart", actor="os:tests")
        node.assignments._records = RecordsPlace(folder / "omop", "", 256, 1)
        node.participant._worker = cast(Any, Here())
        hub.connected[site] = node.participant
        made.append(node)
    yield made
    for node in made:
        node.records.close()
        node.close()


def asked(**plan: Any) -> Project:
    package = {"package": "heart-disease", "package_digest": bundle_digest(packaged("heart-disease"))}
    said = {**package, "reads": "records", "metric": "auc", "rounds": 2, "compare_alone": False, **plan}
    cohort = patients.with_(measurement("LOINC", "8480-6")).question()
    return Project.model_validate({**project(**said).model_dump(), "cohort": cohort.model_dump()})


def agreed(hub: RunLab, nodes: list[HeartNode], project: Project) -> None:
    hub.submit(project)
    for node in nodes:
        node.consider(project)
        assert node.approve(project.id) == 48
        node.telling.tick()
    for node in (*nodes, *nodes):
        node.catch_up()


def started(hub: RunLab, project: Project) -> str:
    weights = beginning(project.plan, hub.packages)
    initial, began = (hub.objects.put(arrays) for arrays in (weights.travelling, weights.whole))
    with hub.database.writing() as session:
        run = actions.start(
            session, project.id, initial=initial, began=began, engine="inprocess", engine_version="1",
            actor="operator:test", at=hub.clock(),
        )  # fmt: skip
        return run.id


def test_two_hospitals_train_on_their_records_and_a_model_is_registered(hub: RunLab, nodes: list[HeartNode]) -> None:
    project = asked()
    agreed(hub, nodes, project)
    run = started(hub, project)
    hub.driver._registration = Registration(hub.objects, hub.log, hub.packages)
    hub.drive(run, RunState.EVALUATING)
    with hub.database.reading() as session:
        told = [found.score for found in queries.rounds(session, run) if found.score is not None]
    assert told, "an aggregate is judged by the hospitals that were given it"
    for site, number, task in hub.tasks("evaluate-model"):
        node = next(one for one in nodes if one.site == site)
        work = node.comparison
        work._worker = cast(Any, Here())
        assert isinstance(task, EvaluateModel)
        work.evaluate(task)
        hub.reported(site, number)
    assert hub.drive(run, RunState.FINISHED) is RunState.FINISHED
    with hub.database.reading() as session:
        model = session.scalars(select(ModelRow)).one()
        metrics = json.loads(model.metrics)
    assert model.package == "heart-disease"
    assert {site: found.keys() for site, found in metrics.items()} == {site: {"auc"} for site in SITES}
    assert min(found["auc"] for found in metrics.values()) > 0.8
    for node in nodes:
        with node.database.reading() as session:
            kept = session.scalars(select(Judgement)).first()
            assert kept is not None
            assert (kept.metric, {len(outcome) for outcome in kept.outcomes.values()}) == ("auc", {2})
            people = set(session.scalars(select(ManifestRow.patient)))
        left = b"".join(message.canonical() for message in (*node.wire.sent, *node.wire.recorded))
        assert not any(person.encode() in left for person in people), "nobody is named in what leaves"


def test_whoever_opts_out_or_is_erased_is_served_no_more(hub: RunLab, nodes: list[HeartNode]) -> None:
    project, node = asked(), nodes[0]
    agreed(hub, nodes, project)
    begun = node.assignments.begin(project.id, project.content_digest(), "heart-1")
    assert len(begun.cohort.cases) == 48
    with node.database.reading() as session:
        first, second = sorted(session.scalars(select(ManifestRow.patient)))[:2]
    with node.database.writing() as session:
        purge_patient(session, second, node.door.purges, actor="os:test", reason="asked for", at=NOON)
    with node.database.reading() as session:
        assert not holds(session, second)
        gone = session.scalars(select(ManifestRow).where(ManifestRow.removed_at.is_not(None))).one()
        assert (gone.patient, gone.study, gone.case, gone.salt) == ("", "", "", b"")
    opted_out(node, first)
    now = node.assignments.check(project.id, project.content_digest(), "heart-1")
    assert len(now.cohort.cases) == 46
    assert first not in {one.case for one in now.cohort.cases}


def opted_out(node: HeartNode, pseudonym: str) -> None:
    with node.database.writing() as session:
        session.add(PatientKey(pseudonym=pseudonym, key="k" * 64))
        session.add(OptOut(key="k" * 64, kind="number", added_at=NOON, added_by="os:test"))


def test_a_plan_that_says_of_its_package_what_isnt_so_is_refused(hub: RunLab, nodes: list[HeartNode]) -> None:
    project = asked(metric="accuracy")
    agreed(hub, nodes, project)
    with pytest.raises(NotAllowed) as refused:
        nodes[0].assignments.begin(project.id, project.content_digest(), "heart-1")
    assert refused.value.code == "wrong-plan"


def test_a_package_that_was_added_is_found_by_its_digest_and_no_other(
    hub: RunLab, nodes: list[HeartNode], tmp_path: Path
) -> None:
    shutil.copytree(packaged("heart-disease"), tmp_path / "mine")
    (tmp_path / "mine/docs/NOTE.md").write_text("adapted\n")
    project = asked(package_digest=bundle_digest(tmp_path / "mine"))
    agreed(hub, nodes, project)
    said = (project.id, project.content_digest(), "heart-1")
    with pytest.raises(NotAllowed) as refused:
        nodes[0].assignments.begin(*said)
    assert refused.value.code == "package-differs"
    digest = nodes[0].assignments._packages.add(tmp_path / "mine")
    assert digest == project.plan.package_digest
    work = nodes[0].assignments.begin(*said)
    assert work.folder.name == digest
    (work.folder / "docs/NOTE.md").write_text("changed where it lies\n")
    with pytest.raises(NotAllowed):
        nodes[0].assignments.check(*said)
    assert replace(work, package=None).folder == packaged("heart-disease")
