"""A hospital leaves a run by itself once its approval was taken back or ran out, and stays where that may pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab

from wardround.contracts.task import EndRun, JoinLeg
from wardround.node.projects.tables import ProjectRun
from wardround.node.training.legs import Legs, _Seat

ASKED = project()


class Stopped:
    def __init__(self) -> None:
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def seated(lab: NodeLab) -> tuple[NodeLab, Legs, Stopped]:
    """In a leg, as `join` leaves it, without the engine."""
    lab.fill()
    lab.agree(ASKED)
    runs = lab.door.home / "runs"
    (runs / "glioma-1" / "engine").mkdir(parents=True)
    (runs / "glioma-1" / "leg.json").write_text("{}")
    (runs / "glioma-1" / "learning").mkdir()
    (runs / "glioma-1" / "learning" / "shared").write_text("a state")
    home = SimpleNamespace(runs=runs, database=lab.database)
    legs = Legs(
        cast(Any, home), cast(Any, lab.wire), lab.assignments, lab.participant, lambda *_: None, clock=lab.clock
    )
    digest = ASKED.content_digest()
    task = JoinLeg(
        project="glioma", project_digest=digest, run="glioma-1", leg=1, engine_host="127.0.0.1", engine_port=1
    )
    lab.assignments.begin("glioma", digest, "glioma-1")
    engine = Stopped()
    legs._seats["glioma-1"] = _Seat(task, cast(Any, Stopped()), cast(Any, engine), 0)
    return lab, legs, engine


def test_a_run_is_left_when_its_approval_was_taken_back(seated: tuple[NodeLab, Legs, Stopped]) -> None:
    lab, legs, engine = seated
    legs.part()
    assert legs.running() == ["glioma-1"]
    lab.withdraw("glioma")
    for _ in range(2):
        legs.part()
    assert (legs.running(), engine.stops) == ([], 1)
    assert not (lab.door.home / "runs" / "glioma-1" / "leg.json").exists(), "it isn't joined again at the next start"
    assert not (lab.door.home / "runs" / "glioma-1" / "learning").exists(), "nothing of its work is kept"


def test_the_hubs_end_of_a_run_is_noted(seated: tuple[NodeLab, Legs, Stopped]) -> None:
    lab, legs, engine = seated
    assert lab.state("glioma") == "running"
    legs.end(EndRun(project="glioma", run="glioma-1"))
    assert (legs.running(), engine.stops, lab.state("glioma")) == ([], 1, "approved")
    assert not (lab.door.home / "runs" / "glioma-1" / "learning").exists()
    with lab.database.reading() as session:
        [row] = session.query(ProjectRun)
    assert (row.run, row.ended_at is not None) == ("glioma-1", True)


def test_a_node_that_starts_after_a_withdrawal_keeps_nothing_of_the_run(seated: tuple[NodeLab, Legs, Stopped]) -> None:
    lab, legs, _ = seated
    task = legs._seats.pop("glioma-1").task
    (lab.door.home / "runs" / "glioma-1" / "leg.json").write_text(task.model_dump_json())
    lab.withdraw("glioma")
    legs.start()
    legs.stop()
    assert [path.name for path in (lab.door.home / "runs" / "glioma-1").iterdir()] == []
