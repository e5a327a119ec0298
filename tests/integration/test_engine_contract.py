"""What every engine promises, in one process and over FLARE's real processes alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from tests.integration.engine_lab import (
    PATIENCE,
    STEPS,
    Behaviour,
    FakeRun,
    Federation,
    FlareFederation,
    InProcessFederation,
    small_model,
)
from tests.integration.masked_lab import masked_run

from wardround.federation.engine import (
    Declined,
    LegStart,
    LegState,
    Next,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
    UpdateKind,
    UpdateRefused,
)
from wardround.learning.arrays import from_bytes, to_bytes

SITES = ("alpha", "beta", "gamma")
WEIGHTED_STEP = (1 * 1 + 2 * 2 + 6 * 6) / (1 + 2 + 6)
WITHOUT_GAMMA = (1 * 1 + 2 * 2) / (1 + 2)


@pytest.fixture(scope="module", params=[InProcessFederation, FlareFederation], ids=["inprocess", "flare"])
def federation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessFederation | FlareFederation]:
    built: InProcessFederation | FlareFederation = request.param(tmp_path_factory.mktemp("federation"), SITES)
    yield built
    built.close()


def test_rounds_carry_the_exact_aggregate_and_its_weighted_mean(federation: Federation) -> None:
    model = {"big": np.linspace(-1, 1, 3_000_000, dtype=np.float32), "weight": small_model()["weight"]}
    run = federation.hub.add(model, sites=SITES, quorum=3, rounds=2)

    status = federation.run_leg(run)

    assert (status.state, status.last_round, dict(status.absent)) == (LegState.FINISHED, 2, {})
    first, second = run.results
    for name, value in from_bytes(first.arrays).items():
        np.testing.assert_allclose(value, model[name] + WEIGHTED_STEP, rtol=1e-6, atol=1e-6)
    for site in federation.sites.values():
        mine = [task for task in site.tasks if task.run_id == run.run_id]
        assert [task.arrays == given for task, given in zip(mine, (to_bytes(model), first.arrays), strict=True)] == [
            True,
            True,
        ]
        assert mine[0].plan == {"package": "test", "seed": 7}
        site.wait_for(lambda site=site: f"{run.run_id}-leg-1" in site.finished)  # type: ignore[misc]
    assert [part.site for part in second.sites] == list(SITES)
    assert {part.site: part.weight for part in second.sites} == {"alpha": 1.0, "beta": 2.0, "gamma": 6.0}
    assert all(0 < part.bytes_down <= len(first.arrays) and part.bytes_up > 12_000_000 for part in second.sites)
    assert {header.digest for header in run.admitted[3:]} == {part.digest for part in second.sites}


def test_deltas_are_added_to_the_round_they_began_from(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=3, kind="delta")

    assert federation.run_leg(run).state is LegState.FINISHED

    np.testing.assert_allclose(run.model["weight"], small_model()["weight"] + 3 * WEIGHTED_STEP, rtol=1e-5)


def test_sites_go_on_from_what_the_hub_made_of_the_round(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=2)
    made = to_bytes({name: np.full_like(array, 100) for name, array in small_model().items()})
    run.on_commit = lambda result: Next(True, arrays=made)

    assert federation.run_leg(run).state is LegState.FINISHED

    np.testing.assert_allclose(from_bytes(run.results[0].arrays)["bias"], WEIGHTED_STEP, rtol=1e-6)
    np.testing.assert_allclose(from_bytes(run.results[1].arrays)["bias"], 100 + WEIGHTED_STEP, rtol=1e-6)
    for site in federation.sites.values():
        assert [task.arrays == made for task in site.tasks if task.run_id == run.run_id] == [False, True]


@pytest.mark.parametrize("kind", ["weights", "delta"])
def test_updates_are_put_together_by_the_rule_of_the_plan(federation: Federation, kind: UpdateKind) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=1, kind=kind, robust={"name": "median"})

    assert federation.run_leg(run).state is LegState.FINISHED

    np.testing.assert_allclose(run.model["weight"], small_model()["weight"] + 2.0, rtol=1e-6)


def test_in_turns_each_site_goes_on_from_what_the_one_before_it_made(federation: Federation) -> None:
    turns = {"order": ["gamma", "alpha", "beta"], "seed": 0}
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=2, kind="delta", turns=turns)

    assert federation.run_leg(run).state is LegState.FINISHED

    step = sum(STEPS[site] for site in SITES)
    np.testing.assert_allclose(run.model["weight"], small_model()["weight"] + 2 * step, rtol=1e-6)
    given = [from_bytes(task.arrays)["bias"][0] for task in federation.sites["beta"].tasks if task.run_id == run.run_id]
    before = small_model()["bias"][0] + STEPS["gamma"] + STEPS["alpha"]
    np.testing.assert_allclose(given, [before, before + step], rtol=1e-6)


def test_the_hub_stops_a_leg_when_it_has_what_it_wants(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=9)
    run.on_commit = lambda result: Next(result.round < 2, "accuracy reached")

    status = federation.run_leg(run)

    assert (status.state, status.reason, status.last_round) == (LegState.FINISHED, "accuracy reached", 2)


def test_unsound_updates_are_refused_counted_and_left_out(federation: Federation) -> None:
    """Gamma spoils each round in another way; alpha and beta carry on without it."""
    weight = small_model()["weight"]

    def change(**arrays: np.ndarray) -> Callable[[RoundTask, RoundUpdate], RoundUpdate]:
        return lambda task, update: replace(update, update=to_bytes({**from_bytes(task.arrays), **arrays}))

    spoilt: list[tuple[str, Callable[[RoundTask, RoundUpdate], RoundUpdate]]] = [
        ("not-finite", change(weight=np.where(weight > 2, np.float32("nan"), weight))),
        ("wrong-shape", change(weight=weight.T.copy())),
        ("wrong-names", change(other=weight)),
        ("unreadable", lambda task, update: replace(update, update=b"\x00" * 64)),
        ("wrong-weight", lambda task, update: replace(update, weight=0.0)),
        ("unknown-entry", lambda task, update: replace(update, ledger_index=None)),
    ]
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=len(spoilt))
    gamma = federation.sites["gamma"]
    gamma.behaviours[run.run_id] = lambda task: spoilt[task.round - 1][1](task, gamma.add_step(task))

    def admit(header: UpdateHeader) -> None:
        if header.ledger_index is None:
            raise UpdateRefused("unknown-entry")

    run.on_admit = admit

    assert federation.run_leg(run).state is LegState.FINISHED

    reasons = [reason for reason, _ in spoilt]
    assert [[refusal.reason for refusal in result.refused] for result in run.results] == [[r] for r in reasons]
    assert [dict(result.missing) for result in run.results] == [{"gamma": f"refused: {r}"} for r in reasons]
    np.testing.assert_allclose(run.model["bias"], len(spoilt) * WITHOUT_GAMMA, rtol=1e-5)


def test_a_site_that_declines_or_fails_is_named_and_asked_again(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=3)
    gamma = federation.sites["gamma"]

    def moody(task: RoundTask) -> RoundUpdate:
        if task.round == 1:
            raise Declined("paused")
        if task.round == 2:
            raise RuntimeError("disk full at /secret/path")
        return gamma.add_step(task)

    gamma.behaviours[run.run_id] = moody

    assert federation.run_leg(run).state is LegState.FINISHED

    assert [dict(result.missing) for result in run.results] == [
        {"gamma": "declined: paused"},
        {"gamma": "failed"},
        {},
    ]


def test_a_leg_without_its_quorum_fails_and_says_who_is_missing(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=3)

    def decline(task: RoundTask) -> RoundUpdate:
        raise Declined("not-approved")

    federation.sites["beta"].behaviours[run.run_id] = decline

    status = federation.run_leg(run)

    assert status.state is LegState.FAILED
    assert "2 of the 3" in status.reason
    assert "beta (declined: not-approved)" in status.reason
    assert run.results == []
    federation.sites["alpha"].wait_for(lambda: f"{run.run_id}-leg-1" in federation.sites["alpha"].aborted)


def test_a_stalled_site_holds_a_round_until_its_deadline_and_the_next_not_at_all(federation: Federation) -> None:
    """Gamma stalls in round 1. Were round 2 to wait for it, it would never end: gamma is let go only after it."""
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=3, deadline=2.0)
    gamma, released = federation.sites["gamma"], threading.Event()

    def stall(task: RoundTask) -> RoundUpdate:
        if task.round == 1:
            assert released.wait(PATIENCE)
        return gamma.add_step(task)

    gamma.behaviours[run.run_id] = stall

    def after(result: object) -> Next:
        if len(run.results) == 2:
            released.set()
            run.deadline = PATIENCE
        return Next(True)

    run.on_commit = after

    assert federation.run_leg(run).state is LegState.FINISHED

    assert [dict(result.missing) for result in run.results[:2]] == [{"gamma": "deadline"}] * 2
    assert run.results[1].seconds < run.deadline


def test_an_aborted_leg_tells_the_sites_that_are_at_work(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=3)
    request = run.next_leg()
    stopped = {name: threading.Event() for name in SITES}
    for name, site in federation.sites.items():

        def work(task: RoundTask, name: str = name) -> RoundUpdate:
            federation.sites[name].wait_for(lambda: request.leg_id in federation.sites[name].aborted)
            stopped[name].set()
            raise Declined("stopped")

        site.behaviours[run.run_id] = work
    federation.engine.start_leg(request)
    for site in federation.sites.values():
        site.wait_for(lambda site=site: site.rounds_of(run) == [1])  # type: ignore[misc]

    federation.engine.abort(request.leg_id, "the researcher stopped it")

    status = federation.engine.wait(request.leg_id, PATIENCE)
    assert (status.state, status.reason) == (LegState.ABORTED, "the researcher stopped it")
    assert all(event.wait(PATIENCE) for event in stopped.values())
    assert run.results == []


def test_a_wanted_site_that_is_not_connected_is_named_in_leg_and_rounds(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=(*SITES, "nowhere"), quorum=3, rounds=1)
    request = replace(run.next_leg(), gather_seconds=0.1)

    federation.engine.start_leg(request)
    status = federation.engine.wait(request.leg_id, PATIENCE)

    assert status.state is LegState.FINISHED
    assert status.absent == {"nowhere": "not-connected"}
    assert dict(run.results[0].missing) == {"nowhere": "not-connected"}


def test_a_wanted_site_that_told_why_it_wont_come_isnt_waited_for(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = federation.hub.add(small_model(), sites=(*SITES, "nowhere"), quorum=3, rounds=1)
    request = replace(run.next_leg(), gather_seconds=1e6)
    told, begin = threading.Event(), federation.hub.begin

    def begin_once_it_told(leg_id: str) -> LegStart:
        assert told.wait(PATIENCE)
        return begin(leg_id)

    monkeypatch.setattr(federation.hub, "begin", begin_once_it_told)
    federation.engine.start_leg(request)
    federation.engine.excuse(request.leg_id, "nowhere", "declined: no-jail")
    told.set()

    status = federation.engine.wait(request.leg_id, PATIENCE)

    assert (status.state, status.absent) == (LegState.FINISHED, {"nowhere": "declined: no-jail"})
    assert dict(run.results[0].missing) == {"nowhere": "declined: no-jail"}


def test_two_legs_at_once_do_not_mix_and_go_on_side_by_side(federation: Federation) -> None:
    one = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=2)
    other = federation.hub.add({"bias": np.full(4, 100, np.float32)}, sites=SITES, quorum=3, rounds=2)
    alpha = federation.sites["alpha"]

    def beside(another: FakeRun) -> Behaviour:
        """A round of one is done once the other has come as far: if one waited for the other's end, none would."""

        def wait(task: RoundTask) -> RoundUpdate:
            alpha.wait_for(lambda: task.round in alpha.rounds_of(another))
            return alpha.add_step(task)

        return wait

    alpha.behaviours |= {one.run_id: beside(other), other.run_id: beside(one)}
    requests = [one.next_leg(), other.next_leg()]
    for request in requests:
        federation.engine.start_leg(request)

    states = [federation.engine.wait(request.leg_id, PATIENCE).state for request in requests]

    assert states == [LegState.FINISHED, LegState.FINISHED]
    np.testing.assert_allclose(one.model["bias"], np.full(3, 2 * WEIGHTED_STEP), rtol=1e-5)
    np.testing.assert_allclose(other.model["bias"], np.full(4, 100 + 2 * WEIGHTED_STEP), rtol=1e-5)


def test_masked_rounds_make_the_weighted_mean_and_show_the_hub_no_update(federation: Federation) -> None:
    """The model is larger than one piece of the transport, and its masked form larger than what asked for it."""
    model = {"big": np.zeros(1_500_000, np.float32), "weight": small_model()["weight"]}
    masked = masked_run(federation, model, SITES, threshold=3, rounds=2, quorum=3)

    assert federation.run_leg(masked.run).state is LegState.FINISHED

    for name, value in masked.run.model.items():
        np.testing.assert_allclose(value, model[name] + 2 * WEIGHTED_STEP, rtol=1e-6)
    for result in masked.run.results:
        assert [(part.site, part.weight) for part in result.sites] == [("alpha", 1), ("beta", 2), ("gamma", 6)]
        for part in result.sites:
            told = masked.answers[part.site, result.round, "input"]
            assert (part.digest, part.bytes_up) == (sha256(told).hexdigest(), 4 * 1_500_006)
            assert part.bytes_down > 4 * 1_500_006
            words = np.frombuffer(told, "<u4")
            assert abs(np.unpackbits(words.view(np.uint8)).mean() - 0.5) < 0.01, "every value was the same"
    assert len(masked.run.admitted) == 6


def test_a_site_that_fails_within_a_masked_round_is_made_up_for_by_the_others(federation: Federation) -> None:
    """In each round gamma fails in another step; in the last it tells what can't be read."""
    steps = ("advertise", "share", "input", "confirm", "reveal", "")
    masked = masked_run(federation, small_model(), SITES, threshold=2, rounds=len(steps))
    honest = federation.sites["gamma"].behaviours[masked.run.run_id]

    def fail(task: RoundTask) -> RoundUpdate:
        if task.step == steps[task.round - 1]:
            raise RuntimeError("out of memory")
        told = honest(task)
        return replace(told, update=told.update[:-1]) if (task.round, task.step) == (6, "share") else told

    federation.sites["gamma"].behaviours[masked.run.run_id] = fail

    assert federation.run_leg(masked.run).state is LegState.FINISHED

    came = [from_bytes(result.arrays)["bias"][0] for result in masked.run.results]
    np.testing.assert_allclose(
        np.diff([0.0, *came]), [WITHOUT_GAMMA] * 3 + [WEIGHTED_STEP] * 2 + [WITHOUT_GAMMA], rtol=1e-5
    )
    assert [dict(result.missing) for result in masked.run.results] == [
        *[{"gamma": "failed"}] * 3,
        *[{}] * 2,
        {"gamma": "refused: masking-unreadable"},
    ]
    refused = [(one.site, one.round, one.reason) for result in masked.run.results for one in result.refused]
    assert refused == [("gamma", 6, "masking-unreadable")]


def test_a_masked_round_with_too_few_survivors_fails_whole_and_the_next_leg_does_it(federation: Federation) -> None:
    masked = masked_run(federation, small_model(), SITES, threshold=3, rounds=2)

    def fail(site: str, task: RoundTask) -> None:
        if (site, task.round, task.step, masked.run.legs) == ("gamma", 2, "reveal", 1):
            raise RuntimeError("out of memory")

    masked.before = fail

    status = federation.run_leg(masked.run)

    assert (status.state, status.last_round) == (LegState.FAILED, 1)
    assert status.reason == "round 2 gave no sum at its step reveal (too-few-sites); missing: gamma (failed)"
    assert federation.run_leg(masked.run).state is LegState.FINISHED
    np.testing.assert_allclose(masked.run.model["bias"], 2 * WEIGHTED_STEP, rtol=1e-6)


def test_a_hub_that_fails_at_a_round_fails_the_leg(federation: Federation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=2)

    def fail(result: object) -> Next:
        raise RuntimeError("database is locked")

    run.on_commit = fail

    assert federation.run_leg(run).state is LegState.FAILED


def test_the_engine_names_itself_and_its_sites(federation: Federation) -> None:
    assert federation.engine.name in ("inprocess", "flare")
    assert federation.engine.version[0].isdigit()
    assert federation.engine.connected() == set(SITES)
