"""A run by an algorithm that remembers: what sites are given, what is kept, and a hub killed between rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.hub.runs.run_lab import NOON, Hospital, RunLab

from wardround.contracts.algorithm import FedAdam, FedAvg, FedProx
from wardround.federation.engine import EngineError, RoundResult
from wardround.hub.runs import actions, aggregates, queries
from wardround.hub.runs.coordinator import leg_name
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import RunRow
from wardround.learning.arrays import ArraysRefused, beside, from_bytes, to_bytes

ADAM: dict[str, Any] = {"name": "fedadam", "server_rate": 0.1, "beta1": 0.9, "beta2": 0.5, "tau": 0.001}


def by_hand(rounds: int) -> list[float]:
    """Every site adds one to what it is given, so that each round's change is 1."""
    found, x, m, v = [], 0.0, 0.0, 0.0
    for _ in range(rounds):
        m, v = 0.9 * m + 0.1, 0.5 * v + 0.5
        x += 0.1 * m / (v**0.5 + 0.001)
        found.append(x)
    return found


def given_to(site: Hospital) -> list[float]:
    """What the site's engine handed it in each round, as it comes."""
    given: list[float] = []
    site.before = lambda _site, task: given.append(float(from_bytes(task.arrays)["w"][0]))
    return given


def test_sites_go_on_from_what_the_algorithm_made_of_the_round(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=4, algorithm=ADAM)
    given = given_to(lab.hospitals["north"])
    lab.drive(run, RunState.COMPARING)
    assert given == pytest.approx([0.0, *by_hand(3)], rel=1e-5)
    np.testing.assert_allclose(from_bytes(lab.objects.get(lab.row(run).current))["w"], by_hand(4)[-1], rtol=1e-5)


def test_control_variates_travel_beside_the_weights_and_stay_out_of_the_aggregate(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=3, algorithm={"name": "scaffold", "server_rate": 0.5})
    given: list[dict[str, float]] = []
    lab.hospitals["north"].before = lambda _site, task: given.append(
        {name: float(array[0]) for name, array in from_bytes(task.arrays).items()}
    )
    lab.drive(run, RunState.COMPARING)
    # Each site adds one to all that it is given: half of that goes into the weights, all into the variates.
    assert given == [{"w": 0.5 * n, "control:w": float(n)} for n in range(3)]
    aggregate = lab.objects.get(lab.row(run).current)
    assert from_bytes(aggregate).keys() == {"w"}, "what is judged and registered is the weights alone"
    state = beside(aggregate)
    assert state is not None and from_bytes(lab.objects.get(state))["w"][0] == 3.0


@pytest.mark.parametrize(
    ("algorithm", "killed_in"), [(ADAM, 1), (ADAM, 2), (ADAM, 4), ("scaffold", 1), ("scaffold", 3)]
)
def test_a_hub_that_is_killed_between_rounds_comes_to_the_same_model(
    lab: RunLab, algorithm: object, killed_in: int
) -> None:
    """To the bit: what the algorithm remembers is on the disk with the aggregate, and nowhere else."""
    run = lab.ready("north", "south", rounds=4, algorithm=algorithm)
    with lab.killed_in(killed_in) as old:
        lab.drive(run, RunState.COMPARING)
    old.close()
    interrupted = lab.row(run).current
    with lab.database.reading() as session:
        assert len(queries.legs(session, run)) == 2

    lab.hospitals["north"].before = None
    with lab.database.writing() as session:
        actions.end(session, session.get_one(RunRow, run), RunState.ENDED, reason="-", actor="operator:test", at=NOON)
    straight = lab.start()
    lab.drive(straight, RunState.COMPARING)
    assert lab.row(straight).current == interrupted


def test_an_aggregate_names_the_state_that_belongs_to_it(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=2, algorithm=ADAM)
    lab.drive(run, RunState.COMPARING)
    found = beside(lab.objects.get(lab.row(run).current))
    assert found is not None
    assert sorted(from_bytes(lab.objects.get(found))) == ["first:w", "second:w"]


@pytest.mark.parametrize("algorithm", [FedAvg(), FedProx(mu=1.0)])
def test_an_average_is_kept_as_it_came_to_the_byte(lab: RunLab, algorithm: FedAvg | FedProx) -> None:
    average = to_bytes({"w": np.array([1, 2], np.float32)})
    kept = aggregates.keep(lab.objects, algorithm, "f" * 64, average, first=False)
    assert kept.arrays == b"" and lab.objects.get(kept.digest) == average


def test_a_state_that_is_not_there_is_no_reason_to_begin_with_a_fresh_one(lab: RunLab) -> None:
    bare = lab.objects.put(to_bytes({"w": np.zeros(2, np.float32)}))
    average = to_bytes({"w": np.ones(2, np.float32)})
    aggregates.keep(lab.objects, FedAdam(), bare, average, first=True)
    with pytest.raises(ArraysRefused, match="names no state"):
        aggregates.keep(lab.objects, FedAdam(), bare, average, first=False)


def test_an_average_that_cannot_be_stepped_with_is_no_round(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=2, algorithm=ADAM)
    with lab.database.writing() as session:
        row = session.get_one(RunRow, run)
        leg = actions.open_leg(session, row, at=NOON)
        actions.move(session, row, RunState.RUNNING, reason="-", actor="hub", at=NOON)
        name = leg_name(run, leg.number)
    broken = to_bytes({"other": np.ones(2, np.float32)})
    result = RoundResult(run, name, 1, sites=(), missing={}, refused=(), seconds=1.0, arrays=broken)
    with pytest.raises(EngineError, match="the aggregate of round 1 was refused: wrong-names"):
        lab.coordinator.commit(result)
    assert lab.row(run).round == 0
