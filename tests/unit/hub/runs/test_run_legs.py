"""A run goes on through whatever happens to its legs, from its last whole round, and no round counts twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from tests.unit.hub.runs.run_lab import NOON, START, Hospital, RunLab, project, weights

from wardround.federation.engine import Declined, EngineError, LegState, LegStatus, RoundResult, RoundTask, SiteRound
from wardround.foundation.errors import Conflict, NotAllowed
from wardround.hub.runs import actions, queries
from wardround.hub.runs.driver import LEGS_WITHOUT_PROGRESS, PAUSES
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import from_bytes

OVER = (RunState.FINISHED, RunState.FAILED, RunState.ENDED)


def legs(lab: RunLab, run: str) -> list[tuple[int, int, int, str]]:
    with lab.database.reading() as session:
        return [(leg.number, leg.first_round, leg.last_round, leg.state) for leg in queries.legs(session, run)]


def to_the_end(lab: RunLab, run: str) -> None:
    lab.drive(run, RunState.COMPARING)
    lab.train_alone()
    lab.drive(run, RunState.EVALUATING)
    lab.judge(lambda _site, _task: 0.5)
    lab.drive(run, RunState.FINISHED)


def test_a_run_goes_to_its_end_and_leaves_a_model_and_idle_sites(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    to_the_end(lab, run)
    row = lab.row(run)
    assert row.round == 2 and row.ended_at is not None and row.model is not None
    np.testing.assert_array_equal(from_bytes(lab.objects.get(row.current))["w"], [2, 2])
    assert {site for site, _, _ in lab.tasks("end-run")} == {"north", "south"}
    assert legs(lab, run) == [(1, 1, 2, "finished")]
    with lab.database.reading() as session:
        kept = queries.rounds(session, run)
        assert [round_.number for round_ in kept] == [1, 2]
        assert [site.site for site in queries.round_sites(session, run, 1)] == ["north", "south"]
        assert kept[0].score == pytest.approx(0.2), "a round's aggregate is judged with the next update"


def test_a_leg_that_dies_is_followed_by_one_from_the_last_whole_round(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=3)

    def die_in_round_two(site: Hospital, task: RoundTask) -> None:
        if task.round == 2 and site.rounds.count(2) == 1:
            raise RuntimeError("out of memory")

    lab.hospitals["north"].before = die_in_round_two
    to_the_end(lab, run)
    assert legs(lab, run) == [(1, 1, 1, "failed"), (2, 2, 3, "finished")]
    assert lab.hospitals["south"].rounds == [1, 2, 2, 3]
    np.testing.assert_array_equal(from_bytes(lab.objects.get(lab.row(run).current))["w"], [3, 3])


def test_an_aborted_leg_is_followed_by_another(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    lab.driver.tick()
    leg = lab.leg(run)
    assert leg is not None
    lab.engine.abort(leg, "a test")
    lab.engine.wait(leg, 30)
    lab.drive(run, RunState.COMPARING)
    assert lab.row(run).round == 2


@pytest.mark.parametrize("killed_in", [1, 2])
def test_a_restarted_hub_goes_on_from_the_last_whole_round_and_takes_none_of_the_old_leg(
    lab: RunLab, killed_in: int
) -> None:
    """The old engine may still work while the new hub has begun another leg."""
    run = lab.ready("north", "south", rounds=3)
    with lab.killed_in(killed_in) as old:
        old_leg = lab.leg(run)
        assert old_leg is not None
        lab.drive(run, RunState.COMPARING)
    assert old.wait(old_leg, 30).state is LegState.FAILED
    with lab.database.reading() as session:
        assert queries.legs(session, run)[0].reason == "the hub was restarted"
        assert [round_.number for round_ in queries.rounds(session, run)] == [1, 2, 3]
    assert legs(lab, run) == [(1, 1, killed_in - 1, "failed"), (2, killed_in, 3, "finished")]
    np.testing.assert_array_equal(from_bytes(lab.objects.get(lab.row(run).current))["w"], [3, 3])
    old.close()


def test_a_last_round_that_was_whole_before_its_leg_died_ends_the_training(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=1)
    lab.driver.tick()
    leg = lab.leg(run)
    assert leg is not None
    lab.engine.wait(leg, 30)
    lab.restart()
    assert lab.drive(run, RunState.COMPARING) is RunState.COMPARING
    assert len(legs(lab, run)) == 1 and lab.row(run).reason == "last-round"


def test_the_wanted_dice_ends_a_run_early_even_if_the_hub_dies_then(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=9, target=0.3)
    lab.driver.tick()
    leg = lab.leg(run)
    assert leg is not None
    assert lab.engine.wait(leg, 30).reason == "target-reached"
    lab.restart()
    lab.drive(run, RunState.COMPARING)
    row = lab.row(run)
    assert (row.round, row.reason) == (3, "target-reached")
    assert (row.best_round, row.best_score) == (2, pytest.approx(0.3))
    assert len(legs(lab, run)) == 1


def test_a_run_whose_legs_come_to_nothing_fails_and_says_why(lab: RunLab) -> None:
    run = lab.ready("north", "south")

    def decline(_site: Hospital, _task: RoundTask) -> None:
        raise Declined("paused")

    lab.hospitals["north"].before = decline
    assert lab.drive(run, *OVER) is RunState.FAILED
    reason = lab.row(run).reason
    assert reason.startswith(
        f"{LEGS_WITHOUT_PROGRESS} legs in a row ended without a whole round; the last: round 1 has"
    )
    assert "north (declined: paused)" in reason, "whoever reads it knows what to mend"
    found = legs(lab, run)
    assert len(found) == LEGS_WITHOUT_PROGRESS and {leg[3] for leg in found} == {"failed"}
    with lab.database.reading() as session:
        assert "north (declined: paused)" in queries.legs(session, run)[0].reason
    assert {site for site, _, _ in lab.tasks("end-run")} == {"north", "south"}


def test_a_trouble_that_ends_each_leg_at_once_has_minutes_to_pass(lab: RunLab) -> None:
    """Else a run of many hours would be lost to a hub's database that is busy for a minute."""
    run = lab.ready("north", "south")
    began, trouble = lab.clock(), timedelta(seconds=90)

    def busy(_site: Hospital, _task: RoundTask) -> None:
        if lab.now - began < trouble:
            raise Declined("hub-unreachable")

    lab.hospitals["north"].before = busy
    for _ in range(300):
        lab.driver.tick()
        if (leg := lab.leg(run)) is not None:
            lab.engine.wait(leg, 30)
        if lab.state(run) not in (RunState.GATHERING, RunState.RUNNING):
            break
        lab.now += timedelta(seconds=1)
    assert (lab.state(run), lab.row(run).round) == (RunState.COMPARING, 2)
    with lab.database.reading() as session:
        first, second, *_ = queries.legs(session, run)
    assert second.started_at - first.started_at < timedelta(seconds=4), "a leg that died is followed at once"
    assert len(PAUSES) == LEGS_WITHOUT_PROGRESS and sum(PAUSES) > trouble.total_seconds()


def test_progress_starts_the_count_of_fruitless_legs_anew(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=4)

    def fail_often(site: Hospital, task: RoundTask) -> None:
        if site.rounds.count(task.round) < LEGS_WITHOUT_PROGRESS - 1:
            raise Declined("paused")

    lab.hospitals["north"].before = fail_often
    lab.drive(run, RunState.COMPARING, *OVER, ticks=200)
    assert lab.state(run) is RunState.COMPARING


def test_a_quorum_that_never_connects_is_told(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    del lab.connected["south"]
    assert lab.drive(run, *OVER) is RunState.FAILED
    with lab.database.reading() as session:
        assert queries.legs(session, run)[0].reason == "1 of the 2 sites needed are connected"


def test_a_site_that_refuses_to_join_isnt_waited_for_and_its_reason_is_told(
    lab: RunLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.ready("north", "south", "east")
    excused: list[tuple[str, str, str]] = []
    monkeypatch.setattr(lab.engine, "start_leg", lambda _request: None)
    monkeypatch.setattr(lab.engine, "status", lambda leg: LegStatus(leg, LegState.STARTING))
    monkeypatch.setattr(lab.engine, "excuse", lambda *told: excused.append(told))
    lab.driver.tick()
    (number,) = (number for site, number, _ in lab.tasks("join-leg") if site == "east")
    lab.reported("east", number, "refused", "own-code-not-allowed")
    lab.driver.tick()
    assert excused == [(lab.leg(run), "east", "declined: own-code-not-allowed")]
    with lab.database.reading() as session:
        waiting = queries.tasks_waiting(session, run)
    assert waiting == [], "to be asked into a leg isn't what a run waits for afterwards"


def test_a_site_that_is_shut_out_costs_the_run_its_quorum(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    lab.revoke("south")
    assert lab.drive(run, *OVER) is RunState.FAILED
    assert lab.row(run).reason == "fewer sites approve the project, or its next round, than its quorum"
    assert lab.hospitals["south"].rounds == []


def test_a_site_that_is_shut_out_in_a_leg_is_left_out_of_the_next(lab: RunLab) -> None:
    run = lab.ready("north", "south", "west")
    given_up = threading.Event()
    north, west = lab.hospitals["north"], lab.hospitals["west"]

    def shut_west_out(_hospital: Hospital, _task: RoundTask) -> None:
        north.before = None
        lab.revoke("west")
        assert given_up.wait(30), "the leg that west was asked into goes on"

    north.before = shut_west_out
    north.abort = lambda _leg, _reason: given_up.set()  # type: ignore[method-assign]
    for _ in range(600):
        lab.driver.tick()
        if lab.state(run) is not RunState.RUNNING and lab.state(run) is not RunState.GATHERING:
            break
        if (leg := lab.leg(run)) is not None:
            lab.engine.wait(leg, 0.05)
    with lab.database.reading() as session:
        found_legs = queries.legs(session, run)
        rounds = [queries.round_sites(session, run, number) for number in (1, 2)]
    assert [leg.state for leg in found_legs] == ["failed", "finished"]
    assert "may no longer take part" in found_legs[0].reason
    assert [{site.site for site in found if site.state == "taken"} for found in rounds] == [{"north", "south"}] * 2
    assert all(number == 1 for number in west.rounds)


def test_a_run_needs_its_quorum_of_members_that_approved(lab: RunLab) -> None:
    asked = project()
    lab.join("north", "south")
    with lab.database.writing() as session, pytest.raises(Exception, match="there is no project glioma"):
        actions.check_may_start(session, "glioma", NOON.date())
    lab.submit(asked)
    lab.approve(asked, "north")
    with pytest.raises(NotAllowed, match=r"needs 2 approving sites and has 1 \(north\)"):
        lab.start()
    lab.approve(asked, "south")
    lab.revoke("north")
    with pytest.raises(NotAllowed, match=r"has 1 \(south\)"):
        lab.start()


def test_one_run_of_a_project_at_a_time(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    with pytest.raises(Conflict, match=f"run {run} of project glioma is not over"):
        lab.start()
    with lab.database.writing() as session:
        row = queries.row_of(session, run)
        actions.end(session, row, RunState.ENDED, reason="enough", actor="operator:test", at=NOON)
    assert lab.start() == "glioma-2"


def test_projects_whose_long_names_begin_alike_each_have_their_runs(lab: RunLab) -> None:
    lab.join("north", "south")
    runs = []
    for end in ("first", "other"):
        asked = project(f"a-project-with-quite-a-long-name--{end}")
        lab.submit(asked)
        lab.approve(asked, "north", "south")
        runs.append(lab.start(asked.id))
    assert len(set(runs)) == 2
    assert all(len(run) <= 34 for run in runs), "what is named after a run fits in a name of 40"


@pytest.mark.parametrize("moment", ["gathering", "running"])
def test_an_ended_run_gives_its_leg_up_and_frees_its_sites(lab: RunLab, moment: str) -> None:
    run = lab.ready("north", "south")
    reached, go_on = threading.Event(), threading.Event()

    def hold(_site: Hospital, _task: RoundTask) -> None:
        reached.set()
        assert go_on.wait(30)

    for site in lab.hospitals.values():
        site.before = hold
    leg = None
    if moment == "running":
        lab.driver.tick()
        leg = lab.leg(run)
        assert reached.wait(30)
    with lab.database.writing() as session:
        row = queries.row_of(session, run)
        actions.end(session, row, RunState.ENDED, reason="wrong plan", actor="person:ann", at=NOON)
    assert {site for site, _, _ in lab.tasks("end-run")} == {"north", "south"}
    lab.driver.tick()
    if leg is not None:
        assert lab.engine.wait(leg, 30).state is LegState.ABORTED
        assert {tuple(site.aborted) for site in lab.hospitals.values()} == {(leg,)}
        assert legs(lab, run) == [(1, 1, 0, "stopped")]
    go_on.set()
    lab.driver.tick()
    row = lab.row(run)
    assert (row.state, row.reason, row.round) == ("ended", "wrong plan", 0)
    assert len(lab.tasks("join-leg")) == (2 if leg else 0)


def test_an_ended_run_of_an_earlier_hub_has_no_leg_left_open(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    lab.driver.tick()
    leg = lab.leg(run)
    assert leg is not None
    with lab.database.writing() as session:
        row = queries.row_of(session, run)
        actions.end(session, row, RunState.ENDED, reason="enough", actor="person:ann", at=NOON)
    lab.restart()
    lab.driver.tick()
    assert lab.leg(run) is None


def test_a_run_whose_step_fails_holds_up_no_other(lab: RunLab) -> None:
    asked, other = project("aaa"), project("bbb")
    lab.join("north", "south")
    runs = []
    for one in (asked, other):
        lab.submit(one)
        lab.approve(one, "north", "south")
        runs.append(lab.start(one.id))
    real = lab.driver.step

    def step(run: str) -> None:
        if run == runs[0]:
            raise EngineError("the port is taken")
        real(run)

    lab.driver.step = step  # type: ignore[method-assign]  # one run's step fails, as it may anywhere within
    with pytest.raises(EngineError, match="the port is taken"):
        lab.driver.tick()
    assert lab.state(runs[1]) is RunState.RUNNING


def result(lab: RunLab, run: str, number: int, update: bytes = START) -> RoundResult:
    sites = tuple(
        SiteRound(name, 10.0, {}, site.update_entry(run, number, update), 10, "0" * 64, 1, 1, 0.1)
        for name, site in lab.hospitals.items()
    )
    return RoundResult(run, f"{run}.1", number, sites, {}, (), 0.1, update)


def test_a_round_is_committed_once_and_in_its_turn(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=3)
    with lab.database.writing() as session:
        row = queries.row_of(session, run)
        actions.open_leg(session, row, at=NOON)
        actions.move(session, row, RunState.RUNNING, reason="leg 1", actor="hub", at=NOON)
    assert lab.coordinator.commit(result(lab, run, 1)).go_on
    size = lab.read(lab.log.size)
    for number in (1, 3):
        with pytest.raises(Conflict, match=f"stands at round 1; round {number} can't follow"):
            lab.coordinator.commit(result(lab, run, number))
    assert lab.row(run).round == 1
    assert lab.read(lab.log.size) == size + 8, "the sites' own uses and updates, and nothing of the hub's"


def test_no_leg_but_the_open_one_of_a_run_under_way_begins_or_commits(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    with lab.database.writing() as session:
        row = queries.row_of(session, run)
        old = actions.open_leg(session, row, at=NOON)
        actions.close_leg(session, old, state="failed", reason="lost", at=NOON)
        actions.open_leg(session, row, at=NOON)
    assert lab.coordinator.begin(f"{run}.2").first_round == 1
    for leg in (f"{run}.1", f"{run}.3", f"{run}.x", "elsewhere.1", "nonsense"):
        with pytest.raises(EngineError):
            lab.coordinator.begin(leg)
        with pytest.raises(EngineError):
            lab.coordinator.commit(RoundResult(run, leg, 1, (), {}, (), 0.1, START))


def changed(lab: RunLab, run: str, change: Callable[..., None], **more: object) -> None:
    with lab.database.writing() as session:
        change(session, queries.row_of(session, run), actor="person:ann", at=lab.clock(), **more)


def test_a_stopped_run_rests_and_goes_on_from_its_last_whole_round(lab: RunLab) -> None:
    run = lab.ready("north", "south", rounds=3)
    reached, go_on = threading.Event(), threading.Event()

    def hold(_site: Hospital, task: RoundTask) -> None:
        if task.round == 2 and task.leg_id.endswith(".1"):
            reached.set()
            assert go_on.wait(30)

    lab.hospitals["north"].before = hold
    lab.driver.tick()
    assert reached.wait(30)
    changed(lab, run, actions.stop, reason="the scanner is serviced")
    for _ in range(3):
        lab.driver.tick()
    row = lab.row(run)
    assert (row.state, row.reason, row.round, row.ended_at) == ("stopped", "the scanner is serviced", 1, None)
    assert legs(lab, run) == [(1, 1, 1, "stopped")]
    assert lab.tasks("end-run") == [], "its sites keep what they need"
    go_on.set()
    changed(lab, run, actions.resume)
    assert lab.drive(run, RunState.COMPARING, *OVER) is RunState.COMPARING
    assert [leg[1:] for leg in legs(lab, run)] == [(1, 1, "stopped"), (2, 3, "finished")]
    assert lab.objects.get(lab.row(run).current) == weights(3.0), "as without the stop: each round adds one"


def test_a_run_that_is_stopped_after_its_last_round_goes_on_to_its_comparison(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    lab.driver.tick()
    leg = lab.leg(run)
    assert leg is not None and lab.engine.wait(leg, 30).state is LegState.FINISHED
    changed(lab, run, actions.stop, reason="-")
    lab.driver.tick()
    changed(lab, run, actions.resume)
    lab.driver.tick()
    assert lab.state(run) is RunState.COMPARING


def test_only_rounds_can_be_stopped_and_only_what_is_stopped_resumed(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    with pytest.raises(NotAllowed, match="is gathering and not stopped"):
        changed(lab, run, actions.resume)
    assert lab.drive(run, RunState.COMPARING) is RunState.COMPARING
    with pytest.raises(NotAllowed, match="can't become stopped"):
        changed(lab, run, actions.stop, reason="-")


def test_a_stopped_run_can_be_ended_and_frees_its_sites(lab: RunLab) -> None:
    run = lab.ready("north", "south")
    changed(lab, run, actions.stop, reason="-")
    changed(lab, run, actions.end, new=RunState.ENDED, reason="wrong plan")
    assert {site for site, _, _ in lab.tasks("end-run")} == {"north", "south"}
    assert lab.start() == "glioma-2"


def test_legs_before_a_stop_dont_count_as_fruitless_after_it(lab: RunLab) -> None:
    run = lab.ready("north", "south")

    def decline(_site: Hospital, _task: RoundTask) -> None:
        raise Declined("paused")

    lab.hospitals["north"].before = decline
    for _ in range(LEGS_WITHOUT_PROGRESS - 1):
        assert lab.drive(run, RunState.RUNNING) is RunState.RUNNING
        assert lab.engine.wait(lab.leg(run) or "", 30).state is LegState.FAILED
        lab.driver.tick()
    assert lab.drive(run, RunState.RUNNING) is RunState.RUNNING
    changed(lab, run, actions.stop, reason="-")
    lab.driver.tick()
    changed(lab, run, actions.resume)
    lab.hospitals["north"].before = None
    assert lab.drive(run, RunState.COMPARING, *OVER) is RunState.COMPARING
