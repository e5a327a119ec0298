"""The mechanics of a leg, event by event."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from wardround.federation.engine import (
    LegEnd,
    LegStart,
    LegState,
    LegStatus,
    Next,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
    UpdateKind,
    UpdateRefused,
)
from wardround.federation.leg import Leg
from wardround.learning.arrays import from_bytes, to_bytes

PATIENCE = 30.0


class Hub:
    def __init__(self) -> None:
        self.results: list[RoundResult] = []

    def begin(self, leg_id: str) -> LegStart:
        raise NotImplementedError

    def admit(self, header: UpdateHeader) -> None:
        """Admit everything."""

    def commit(self, result: RoundResult) -> Next:
        self.results.append(result)
        return Next(True)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Running:
    """A leg whose rounds run in a thread."""

    def __init__(self, leg: Leg, hub: Hub) -> None:
        self.leg, self.hub = leg, hub
        self.status: LegStatus | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.status = self.leg.run()

    def task(self, site: str, after: int = 0) -> RoundTask:
        offered = self.leg.offer(site, after, PATIENCE)
        assert isinstance(offered, RoundTask)
        return offered

    def wake(self) -> None:
        """Have the leg look at its clock, as the end of its own pause would."""
        with self.leg._changed:
            self.leg._changed.notify_all()

    def end(self) -> LegStatus:
        self._thread.join(PATIENCE)
        assert self.status is not None
        return self.status


START = LegStart(
    run_id="run",
    leg_id="leg",
    first_round=1,
    total_rounds=2,
    sites=("alpha", "beta"),
    quorum=1,
    deadline_seconds=PATIENCE,
    plan={},
    arrays=to_bytes({"w": np.zeros(2, np.float32)}),
)


@pytest.fixture
def begin() -> Iterator[Callable[..., Running]]:
    legs: list[Leg] = []

    def build(start: LegStart = START, **settings: object) -> Running:
        hub = Hub()
        leg = Leg(start, hub, start.sites, **settings)  # type: ignore[arg-type]  # passed through
        legs.append(leg)
        return Running(leg, hub)

    yield build
    for leg in legs:
        leg.stop(LegState.ABORTED, "test over")


def update(value: float, weight: float = 1.0) -> RoundUpdate:
    return RoundUpdate(weight, {}, 1, 1, to_bytes({"w": np.full(2, value, np.float32)}))


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UpdateRefused) as refusal:
        call()
    return refusal.value.reason


@pytest.mark.parametrize("kind", ["weights", "delta"])
def test_of_three_updates_one_that_is_far_beyond_the_middle_one_isnt_counted(
    begin: Callable[..., Running], kind: UpdateKind
) -> None:
    sites = ("alpha", "beta", "gamma", "last")
    start = replace(START, sites=sites, quorum=2, total_rounds=1, largest_change=20.0, update_kind=kind)
    running = begin(start)
    for site, value in zip(sites, (1.0, 3.0, -1000.0, 19.0), strict=True):
        running.task(site)
        running.leg.deliver(site, 1, update(value))
    assert running.end().state is LegState.FINISHED
    [result] = running.hub.results
    assert [site.site for site in result.sites] == ["alpha", "beta", "last"]
    assert (dict(result.missing), [(one.site, one.reason) for one in result.refused]) == (
        {"gamma": "refused: too-far"},
        [("gamma", "too-far")],
    )
    np.testing.assert_allclose(from_bytes(result.arrays)["w"], 23 / 3, rtol=1e-6)


def test_of_two_nobody_can_tell_which_is_far(begin: Callable[..., Running]) -> None:
    running = begin(replace(START, total_rounds=1, largest_change=20.0))
    for site, value in (("alpha", 1.0), ("beta", 1000.0)):
        running.task(site)
        running.leg.deliver(site, 1, update(value))
    assert running.end().state is LegState.FINISHED
    assert len(running.hub.results[0].sites) == 2


def test_an_update_counts_once_and_only_in_its_own_round(begin: Callable[..., Running]) -> None:
    running = begin()
    leg = running.leg
    running.task("alpha")
    running.task("beta")
    leg.deliver("alpha", 1, update(1))

    assert refused(lambda: leg.deliver("alpha", 1, update(9))) == "duplicate"
    assert refused(lambda: leg.deliver("beta", 2, update(9))) == "wrong-round"
    leg.deliver("beta", 1, update(3))
    running.task("alpha", after=1)
    assert refused(lambda: leg.deliver("alpha", 1, update(9))) == "wrong-round"
    leg.deliver("alpha", 2, update(5))
    leg.decline("beta", 2, "declined: tired")

    assert running.end().state is LegState.FINISHED
    assert [from_bytes(result.arrays)["w"].tolist() for result in running.hub.results] == [[2, 2], [5, 5]]
    assert [[(r.site, r.reason) for r in result.refused] for result in running.hub.results] == [
        [("alpha", "duplicate"), ("beta", "wrong-round")],
        [("alpha", "wrong-round")],
    ]


def test_what_the_hub_makes_of_a_round_has_to_be_sound(begin: Callable[..., Running]) -> None:
    running = begin()
    nan = to_bytes({"w": np.full(2, np.nan, np.float32)})
    running.hub.commit = lambda result: Next(True, arrays=nan)  # type: ignore[method-assign]
    for site in ("alpha", "beta"):
        running.task(site)
        running.leg.deliver(site, 1, update(1))

    assert (running.end().state, running.end().reason) == (
        LegState.FAILED,
        "what the hub made of round 1 was refused: not-finite",
    )


def test_a_stranger_has_no_part_in_a_leg(begin: Callable[..., Running]) -> None:
    running = begin()
    running.task("alpha")

    assert refused(lambda: running.leg.offer("mallory", 0, 0)) == "unknown-site"
    assert refused(lambda: running.leg.deliver("mallory", 1, update(1))) == "unknown-site"
    assert refused(lambda: running.leg.alive("mallory")) == "unknown-site"


def test_a_lost_site_is_not_waited_for_until_it_is_heard_again(begin: Callable[..., Running]) -> None:
    running = begin(replace(START, total_rounds=3))
    running.task("alpha")
    running.task("beta")
    running.leg.lose("beta", "disconnected")
    running.leg.deliver("alpha", 1, update(1))
    running.task("alpha", after=1)
    running.leg.deliver("alpha", 2, update(1))
    running.task("alpha", after=2)
    running.task("beta", after=1)
    running.leg.deliver("beta", 3, update(5))
    running.leg.deliver("alpha", 3, update(1))

    assert running.end().state is LegState.FINISHED
    assert [dict(result.missing) for result in running.hub.results] == [
        {"beta": "disconnected"},
        {"beta": "disconnected"},
        {},
    ]


def test_a_site_given_up_for_lost_that_delivers_in_time_is_counted(begin: Callable[..., Running]) -> None:
    running = begin(replace(START, total_rounds=1))
    running.task("alpha")
    running.task("beta")
    running.leg.lose("beta", "disconnected")

    running.leg.deliver("beta", 1, update(3))
    running.leg.deliver("alpha", 1, update(1))

    assert running.end().state is LegState.FINISHED
    assert dict(running.hub.results[0].missing) == {}
    assert from_bytes(running.hub.results[0].arrays)["w"].tolist() == [2, 2]


def test_a_site_that_declined_a_round_has_no_second_turn_in_it(begin: Callable[..., Running]) -> None:
    running = begin(replace(START, total_rounds=1))
    running.task("alpha")
    running.task("beta")
    running.leg.decline("beta", 1, "declined: paused")

    assert running.leg.offer("beta", 0, 0) is None
    assert refused(lambda: running.leg.deliver("beta", 1, update(9))) == "not-in-round"
    running.leg.deliver("alpha", 1, update(1))

    assert running.end().state is LegState.FINISHED
    assert from_bytes(running.hub.results[0].arrays)["w"].tolist() == [1, 1]


def test_a_silent_site_is_lost_and_one_that_still_starts_is_given_longer(begin: Callable[..., Running]) -> None:
    clock = Clock()
    running = begin(
        replace(START, sites=("alpha", "beta", "gamma"), total_rounds=1, deadline_seconds=1e6),
        silence=10.0,
        start_silence=60.0,
        clock=clock,
    )
    running.task("alpha")
    running.task("beta")
    clock.now = 11.0
    running.leg.deliver("alpha", 1, update(1))
    running.leg.alive("alpha")
    clock.now = 61.0
    running.wake()

    assert running.end().state is LegState.FINISHED
    assert dict(running.hub.results[0].missing) == {"beta": "no-contact", "gamma": "no-contact"}


def test_the_deadline_does_not_run_while_sites_still_start(begin: Callable[..., Running]) -> None:
    clock = Clock()
    running = begin(
        replace(START, total_rounds=1, deadline_seconds=5.0), silence=1e6, start_silence=1000.0, clock=clock
    )
    running.task("alpha")
    clock.now = 100.0
    running.task("beta")
    clock.now = 104.0
    running.leg.deliver("beta", 1, update(4))
    clock.now = 106.0
    running.wake()

    assert running.end().state is LegState.FINISHED
    assert dict(running.hub.results[0].missing) == {"alpha": "deadline"}


def test_a_leg_that_is_stopped_ends_for_everyone(begin: Callable[..., Running]) -> None:
    running = begin()
    running.task("alpha")

    running.leg.stop(LegState.ABORTED, "the controller withdrew")

    assert running.leg.offer("alpha", 1, PATIENCE) == LegEnd(LegState.ABORTED, "the controller withdrew")
    assert running.leg.alive("beta") == LegEnd(LegState.ABORTED, "the controller withdrew")
    assert running.end().state is LegState.ABORTED
    assert running.hub.results == []


def test_starting_weights_that_are_not_finite_never_reach_a_site(begin: Callable[..., Running]) -> None:
    poisoned = to_bytes({"w": np.array([1, np.inf], np.float32)})

    running = begin(replace(START, arrays=poisoned))

    status = running.end()
    assert status.state is LegState.FAILED
    assert "not-finite" in status.reason
    assert isinstance(running.leg.offer("alpha", 0, 0), LegEnd)


def test_a_leg_begun_in_the_middle_of_a_run_counts_on(begin: Callable[..., Running]) -> None:
    running = begin(replace(START, first_round=7, total_rounds=7, sites=("alpha",)))

    task = running.task("alpha", after=0)
    running.leg.deliver("alpha", 7, update(1))

    assert (task.round, task.total_rounds) == (7, 7)
    assert running.end().last_round == 7
