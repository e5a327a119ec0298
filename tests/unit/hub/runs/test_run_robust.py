"""A run with a hospital that sends what harms: it takes the plain mean away, and no robust rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.unit.hub.runs.run_lab import Hospital, RunLab, project

from wardround.contracts.project_words import in_words
from wardround.federation.engine import RoundTask, RoundUpdate
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import from_bytes, to_bytes

SITES = ("east", "middle", "north", "south", "west")


def harm(site: Hospital, task: RoundTask, value: float = -1e6) -> RoundUpdate:
    update = to_bytes({"w": np.full(2, value, np.float32)})
    index = site.update_entry(task.run_id, task.round, update)
    return RoundUpdate(weight=10.0, metrics={}, steps=10, ledger_index=index, update=update)


@pytest.mark.parametrize(
    ("robust", "wanted"),
    [
        (None, -4e5),
        ({"name": "trimmed-mean"}, 2.0),
        ({"name": "median"}, 2.0),
        ({"name": "multi-krum"}, 2.0),
        ({"name": "norm-bound", "largest": float(np.sqrt(2))}, 2 * (4 - 1) / 5),
    ],
)
def test_two_rounds_with_one_hostile_site_of_five(lab: RunLab, robust: dict[str, Any] | None, wanted: float) -> None:
    run = lab.ready(*SITES, rounds=2, quorum=5, robust=robust, largest_change=1e6)
    east = lab.hospitals["east"]
    east.take_part = lambda task: harm(east, task)  # type: ignore[method-assign]
    lab.drive(run, RunState.COMPARING)
    np.testing.assert_allclose(from_bytes(lab.objects.get(lab.row(run).current))["w"], wanted, rtol=1e-3)


def test_an_update_a_thousand_times_too_large_is_refused_and_on_the_record(lab: RunLab) -> None:
    run = lab.ready(*SITES, rounds=2, quorum=4)
    east = lab.hospitals["east"]
    east.take_part = lambda task: harm(east, task, -1e3)  # type: ignore[method-assign]
    lab.drive(run, RunState.COMPARING)
    np.testing.assert_allclose(from_bytes(lab.objects.get(lab.row(run).current))["w"], 2.0, rtol=1e-6)
    with lab.database.reading() as session:
        rounds = [queries.round_sites(session, run, number) for number in (1, 2)]
    told = [[(site.site, site.state, site.reason) for site in sites if site.state != "taken"] for sites in rounds]
    assert told == [[("east", "missing", "refused: too-far"), ("east", "refused", "too-far")]] * 2


def test_where_it_leaves_too_few_the_run_says_whose_it_was(lab: RunLab) -> None:
    run = lab.ready(*SITES, rounds=2, quorum=5)
    east = lab.hospitals["east"]
    east.take_part = lambda task: harm(east, task, -1e3)  # type: ignore[method-assign]
    assert lab.drive(run, RunState.FAILED) is RunState.FAILED
    assert "has 4 of the 5 sites it needs; missing: east (refused: too-far)" in lab.row(run).reason


@pytest.mark.parametrize(("robust", "needed"), [("trimmed-mean", 3), ("median", 3), ("multi-krum", 5)])
def test_a_plan_whose_quorum_is_too_small_for_its_rule_is_refused(robust: str, needed: int) -> None:
    with pytest.raises(ValidationError, match=f"needs {needed} updates in every round; raise `quorum`"):
        project(robust={"name": robust}, quorum=needed - 1)
    assert project(robust={"name": robust}, quorum=needed).plan.quorum == needed


def test_a_data_controller_reads_it() -> None:
    asked = project(robust={"name": "trimmed-mean", "trimmed": 2}, quorum=5)
    assert any("the 2 largest and smallest values left out" in line for line in in_words(asked))
