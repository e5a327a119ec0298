"""A model that goes from hospital to hospital is trained as if one after another had it in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.contracts.turns import Turns
from wardround.federation.engine import (
    Declined,
    LegRequest,
    LegStart,
    LegState,
    LegStatus,
    Next,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
    UpdateRefused,
)
from wardround.federation.inprocess import InProcessEngine
from wardround.learning.arrays import from_bytes, to_bytes

NAMES = ("east", "north", "south", "west")


@dataclass
class Site:
    """Training takes `w` to `slope` * w + `step`; in `away` rounds it declines."""

    slope: float
    step: float
    away: tuple[int, ...] = ()
    given: list[float] = field(default_factory=list)

    def take_part(self, task: RoundTask) -> RoundUpdate:
        if task.round in self.away:
            raise Declined("paused")
        before = from_bytes(task.arrays)["w"]
        self.given.append(float(before[0]))
        after = np.float32(self.slope) * before + np.float32(self.step)
        update = to_bytes({"w": after - before})
        return RoundUpdate(weight=7.0, metrics={"dice": 0.5}, steps=1, update=update)

    def finish(self, leg_id: str, reason: str) -> None:
        """Nothing is held."""

    def abort(self, leg_id: str, reason: str) -> None:
        """Nothing is to be given up."""


@dataclass
class Hub:
    turns: Turns
    rounds: int
    quorum: int = 1
    refused: str = ""
    results: list[RoundResult] = field(default_factory=list)
    models: list[float] = field(default_factory=list)

    def begin(self, leg_id: str) -> LegStart:
        return LegStart(
            run_id="run",
            leg_id=leg_id,
            first_round=1,
            total_rounds=self.rounds,
            sites=NAMES,
            quorum=self.quorum,
            deadline_seconds=60,
            plan={},
            arrays=to_bytes({"w": np.ones(2, np.float32)}),
            update_kind="delta",
            turns=self.turns.model_dump(mode="json"),
        )

    def admit(self, header: UpdateHeader) -> None:
        if header.site == self.refused:
            raise UpdateRefused("not-approved")

    def commit(self, result: RoundResult) -> Next:
        self.results.append(result)
        self.models.append(float(from_bytes(result.arrays)["w"][0]))
        return Next(True)


def carried(hub: Hub, sites: Mapping[str, Site]) -> LegStatus:
    engine = InProcessEngine(hub, sites)
    try:
        engine.start_leg(LegRequest("run.1", "run", NAMES, quorum=1))
        return engine.wait("run.1", 60)
    finally:
        engine.close()


slopes, steps = st.floats(-0.875, 0.875, width=32), st.floats(-2, 2, width=32)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(slopes, steps), min_size=4, max_size=4),
    st.integers(0, 99),
    st.one_of(st.just(()), st.permutations(NAMES).map(tuple), st.just(("west",))),
)
def test_cyclic_rounds_are_sequential_training(
    ways: list[tuple[float, float]], seed: int, order: tuple[str, ...]
) -> None:
    turns = Turns(order=order, seed=seed)
    hub, sites = Hub(turns, rounds=3), {name: Site(*way) for name, way in zip(NAMES, ways, strict=True)}
    assert carried(hub, sites).state is LegState.FINISHED
    w, wanted = 1.0, []
    for number in (1, 2, 3):
        for name in turns.of(NAMES, number):
            w = sites[name].slope * w + sites[name].step
        wanted.append(w)
    np.testing.assert_allclose(hub.models, wanted, rtol=1e-4, atol=1e-5)


def test_an_order_is_the_plans_or_follows_from_its_seed() -> None:
    assert Turns(order=("west", "east")).of(NAMES, 3) == ["west", "east", "north", "south"]
    assert Turns(order=("gone", "west")).of(NAMES[:2], 1) == ["east", "north"]
    drawn = [tuple(Turns(seed=4).of(NAMES, number)) for number in range(1, 9)]
    assert drawn == [tuple(Turns(seed=4).of(reversed(NAMES), number)) for number in range(1, 9)]
    assert len(set(drawn)) > 1 and {turn[0] for turn in drawn} != {drawn[0][0]}, "nobody is always first"


@pytest.mark.parametrize("why", ["declines", "refused", "unconnected"])
def test_who_misses_a_turn_is_passed_over_and_named(why: str) -> None:
    sites = {name: Site(1.0, 1.0) for name in NAMES}
    hub = Hub(Turns(order=NAMES), rounds=2)
    if why == "declines":
        sites["north"].away = (1, 2)
    elif why == "refused":
        hub.refused = "north"
    else:
        del sites["north"]
    assert carried(hub, sites).state is LegState.FINISHED
    assert hub.models == [4.0, 7.0], "three of the four add one in each round"
    reason = {"declines": "declined: paused", "refused": "refused: not-approved", "unconnected": "not-connected"}[why]
    assert [result.missing for result in hub.results] == [{"north": reason}] * 2
    assert sites["south"].given == [2.0, 5.0], "the next goes on from what the one before made"


def test_only_the_first_tells_how_good_the_round_before_was() -> None:
    hub = Hub(Turns(order=NAMES), rounds=1)
    carried(hub, {name: Site(1.0, 1.0) for name in NAMES})
    assert {site.site: bool(site.metrics) for site in hub.results[0].sites} == {
        "east": True,
        "north": False,
        "south": False,
        "west": False,
    }


def test_a_round_without_its_quorum_is_none() -> None:
    sites = {name: Site(1.0, 1.0, away=(2,) if name != "east" else ()) for name in NAMES}
    hub = Hub(Turns(order=NAMES), rounds=3, quorum=2)
    status = carried(hub, sites)
    assert status.state is LegState.FAILED and "round 2 has 1 of the 2 sites it needs" in status.reason
    assert len(hub.results) == 1
