"""What the federation survives when FLARE's processes are killed under it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from tests.integration.engine_lab import (
    PATIENCE,
    Authority,
    Behaviour,
    FakeHub,
    FakeRun,
    FlareFederation,
    InProcessFederation,
    free_port,
    small_model,
)
from tests.integration.masked_lab import masked_run

from wardround.federation.engine import (
    EngineError,
    LegStart,
    LegState,
    Next,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
)
from wardround.federation.flare.hub import FlareEngine
from wardround.federation.flare.site import FlareSite

SITES = ("alpha", "beta", "gamma")
STALLED = 10.0
"""A round's deadline that whoever doesn't stall keeps on a busy machine too, in seconds. It has to be over well before
a leg takes silence for a lost site, at 15 s, which would be another reason than that the time is over."""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlareFederation]:
    built = FlareFederation(tmp_path_factory.mktemp("faults"), SITES)
    yield built
    built.close()


@pytest.fixture(autouse=True)
def every_site_is_there(federation: FlareFederation) -> None:
    assert all(client.wait_connected(PATIENCE) for client in federation.clients.values())


def without_faults(tmp_path: Path, rounds: int) -> bytes:
    calm = InProcessFederation(tmp_path, SITES)
    run = calm.hub.add(small_model(), sites=SITES, quorum=3, rounds=rounds)
    assert calm.run_leg(run).state is LegState.FINISHED
    calm.close()
    return run.arrays


def job_process(pid: int | None) -> psutil.Process:
    """The newest: that of a leg which has just ended may be about to."""
    jobs = [child for child in psutil.Process(pid).children(recursive=True) if child.name().endswith("-job")]
    return max(jobs, key=psutil.Process.create_time)


def nursery(pid: int | None) -> psutil.Process:
    """What the jobs' processes of an engine's process are born of."""
    (found,) = (child for child in psutil.Process(pid).children() if child.name() == "nursery")
    return found


def resume(federation: FlareFederation, run: FakeRun) -> None:
    status = federation.run_leg(run)
    assert status.state is LegState.FINISHED, status


def test_a_killed_server_costs_the_leg_and_the_next_goes_on_from_the_last_whole_round(
    federation: FlareFederation, tmp_path: Path
) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=5)
    before = federation.flare.pid

    def kill_server(result: RoundResult) -> Next:
        if result.round == 2 and run.legs == 1:
            assert federation.flare.pid is not None
            os.kill(federation.flare.pid, signal.SIGKILL)
        return Next(True)

    run.on_commit = kill_server

    first = federation.run_leg(run)
    assert (first.state, first.last_round) == (LegState.FAILED, 2)
    resume(federation, run)

    assert federation.flare.pid != before
    assert [result.round for result in run.results] == [1, 2, 3, 4, 5]
    assert {result.leg_id for result in run.results} == {f"{run.run_id}-leg-1", f"{run.run_id}-leg-2"}
    assert run.arrays == without_faults(tmp_path, 5)


def test_a_killed_job_process_at_the_hub_costs_the_leg_alone(federation: FlareFederation, tmp_path: Path) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=3)
    server = federation.flare.pid

    def kill_job(task: RoundTask) -> RoundUpdate:
        if task.round == 2 and run.legs == 1:
            job_process(server).kill()
        return federation.sites["alpha"].add_step(task)

    federation.sites["alpha"].behaviours[run.run_id] = kill_job

    first = federation.run_leg(run)
    assert (first.state, first.last_round) == (LegState.FAILED, 1)
    resume(federation, run)

    assert federation.flare.pid == server
    assert run.arrays == without_faults(tmp_path, 3)


def until_gamma_is_back(federation: FlareFederation, run: FakeRun) -> Behaviour:
    """Alpha's part in a round: from the second on it is done when gamma has that round too."""

    def wait(task: RoundTask) -> RoundUpdate:
        if task.round >= 2:
            federation.sites["gamma"].wait_for(lambda: task.round in federation.sites["gamma"].rounds_of(run))
        return federation.sites["alpha"].add_step(task)

    return wait


def assert_gamma_missed_the_first_round_alone(run: FakeRun, reasons: set[str]) -> None:
    assert [sorted(site.site for site in result.sites) for result in run.results] == [
        ["alpha", "beta"],
        *[sorted(SITES)] * 2,
    ]
    assert set(run.results[0].missing) == {"gamma"} and run.results[0].missing["gamma"] in reasons
    assert {result.leg_id for result in run.results} == {f"{run.run_id}-leg-1"}


@pytest.mark.parametrize("who", ["client", "job process", "nursery"])
def test_a_site_killed_in_a_round_is_named_and_back_at_the_next_round(
    federation: FlareFederation, tmp_path: Path, who: str
) -> None:
    """The engine itself takes no site into a job that runs."""
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=3)
    gamma = federation.sites["gamma"]

    def die(task: RoundTask) -> RoundUpdate:
        if task.round == 1:
            client = psutil.Process(federation.clients["gamma"].pid)
            job = job_process(client.pid)
            {"client": client, "job process": job, "nursery": nursery(client.pid)}[who].kill()
            psutil.wait_procs([job], timeout=PATIENCE)
        return gamma.add_step(task)

    gamma.behaviours[run.run_id] = die
    federation.sites["alpha"].behaviours[run.run_id] = until_gamma_is_back(federation, run)

    assert federation.run_leg(run).state is LegState.FINISHED

    assert_gamma_missed_the_first_round_alone(run, {"disconnected", "process-ended"})
    assert federation.clients["gamma"].status().connected


def test_a_site_killed_after_it_shared_its_keys_is_made_up_for_by_the_others(federation: FlareFederation) -> None:
    masked = masked_run(federation, small_model(), SITES, threshold=2, rounds=1)

    def die(site: str, task: RoundTask) -> None:
        if (site, task.step) == ("gamma", "input"):
            client = psutil.Process(federation.clients["gamma"].pid)
            job = job_process(client.pid)
            client.kill()
            psutil.wait_procs([job], timeout=PATIENCE)

    masked.before = die

    assert federation.run_leg(masked.run).state is LegState.FINISHED

    (result,) = masked.run.results
    assert masked.run.model["bias"].tolist() == pytest.approx([(1 * 1 + 2 * 2) / (1 + 2)] * 3)
    assert result.missing["gamma"] in {"disconnected", "process-ended"}


def test_a_site_that_was_cut_off_is_back_at_the_next_round(federation: FlareFederation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=3)
    wire, gamma = federation.wires["gamma"], federation.sites["gamma"]

    def cut(task: RoundTask) -> RoundUpdate:
        if task.round == 1:
            wire.cut()
        return gamma.add_step(task)

    def mend(result: RoundResult) -> Next:
        if result.round == 1:
            wire.mend()
        return Next(True)

    gamma.behaviours[run.run_id], run.on_commit = cut, mend
    federation.sites["alpha"].behaviours[run.run_id] = until_gamma_is_back(federation, run)

    assert federation.run_leg(run).state is LegState.FINISHED

    assert_gamma_missed_the_first_round_alone(run, {"disconnected", "process-ended"})


def test_a_site_that_stalls_beyond_the_deadline_is_missed_and_back_once_it_goes_on(federation: FlareFederation) -> None:
    """Its process is there all along, and so are its connections."""
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=3, deadline=STALLED)
    gamma, others, stalled = federation.sites["gamma"], threading.Event(), []

    def admitted(_: UpdateHeader) -> None:
        if len(run.admitted) == 1:  # of the other two; this one is the second
            others.set()

    def stall(task: RoundTask) -> RoundUpdate:
        if task.round == 1:
            assert others.wait(PATIENCE)
            stalled.append(job_process(federation.clients["gamma"].pid))
            stalled[0].suspend()
        return gamma.add_step(task)

    def go_on(result: RoundResult) -> Next:
        if result.round == 1:
            stalled[0].resume()
        return Next(True)

    run.on_admit, run.on_commit = admitted, go_on
    gamma.behaviours[run.run_id] = stall
    federation.sites["alpha"].behaviours[run.run_id] = until_gamma_is_back(federation, run)

    assert federation.run_leg(run).state is LegState.FINISHED

    assert_gamma_missed_the_first_round_alone(run, {"deadline"})


def test_a_stalled_server_costs_the_leg_and_the_next_goes_on_once_it_does(
    federation: FlareFederation, tmp_path: Path
) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=3, deadline=STALLED)
    server = psutil.Process(federation.flare.pid)

    def stall(task: RoundTask) -> RoundUpdate:
        if (task.round, run.legs) == (2, 1):
            server.suspend()
        return federation.sites["alpha"].add_step(task)

    federation.sites["alpha"].behaviours[run.run_id] = stall
    try:
        first = federation.run_leg(run)
    finally:
        server.resume()
    assert (first.state, first.last_round) == (LegState.FAILED, 1)
    assert "alpha (deadline)" in first.reason
    # A server that goes on after so long may end the first job that it is given, for which a hub has the next leg.
    legs = (federation.run_leg(run).state for _ in range(3))
    assert LegState.FINISHED in legs

    assert federation.flare.pid == server.pid
    assert run.arrays == without_faults(tmp_path, 3)


def test_a_site_that_comes_late_takes_part_from_the_next_round_on(federation: FlareFederation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=3)
    federation.clients["gamma"].stop()
    federation.engine.start_leg(replace(run.next_leg(), gather_seconds=0.0))

    def come(task: RoundTask) -> RoundUpdate:
        if task.round == 1:
            federation.clients["gamma"].start()
        return federation.sites["beta"].add_step(task)

    federation.sites["beta"].behaviours[run.run_id] = come
    federation.sites["alpha"].behaviours[run.run_id] = until_gamma_is_back(federation, run)

    assert federation.engine.wait(f"{run.run_id}-leg-1", 2 * PATIENCE).state is LegState.FINISHED

    assert_gamma_missed_the_first_round_alone(run, {"not-connected"})


def test_a_site_too_busy_when_a_leg_begins_takes_part_from_the_next_round_on(federation: FlareFederation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=3)
    client = psutil.Process(federation.clients["gamma"].pid)
    waits = until_gamma_is_back(federation, run)

    def wake_gamma(task: RoundTask) -> RoundUpdate:
        if task.round == 1:
            client.resume()
        return waits(task)

    federation.sites["alpha"].behaviours[run.run_id] = wake_gamma
    client.suspend()
    try:
        status = federation.run_leg(run)
    finally:
        client.resume()

    assert status.state is LegState.FINISHED, status
    assert_gamma_missed_the_first_round_alone(run, {"refused-job"})


@dataclass(frozen=True)
class LegStartOfAnotherVersion(LegStart):
    unheard_of: int = 0


def test_a_leg_of_another_version_than_the_hubs_program_says_what_to_do(
    federation: FlareFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade in place: the old program runs on, and its legs' processes are the new one's."""
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=1)
    begin = federation.hub.begin
    monkeypatch.setattr(federation.hub, "begin", lambda leg_id: LegStartOfAnotherVersion(**vars(begin(leg_id))))

    status = federation.run_leg(run)

    assert (status.state, status.last_round) == (LegState.FAILED, 0)
    assert "different versions: restart the hub" in status.reason


def test_a_restarted_engine_takes_its_sites_back(federation: FlareFederation) -> None:
    """What the hub does to take up a renewed certificate."""
    before = federation.flare.pid

    federation.flare.restart()

    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=1)
    assert federation.run_leg(run).state is LegState.FINISHED
    assert federation.flare.pid != before


def test_sites_that_start_before_the_hub_wait_for_it(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "pki"), free_port()
    site = FlareSite(
        tmp_path / "alpha/flare",
        authority.issue("alpha"),
        host="127.0.0.1",
        port=port,
        hub_name="hub",
        participant_port=tmp_path / "alpha/participant",
    )
    engine = FlareEngine(tmp_path / "hub/flare", authority.issue("hub"), FakeHub(), port=port)
    try:
        site.start()
        engine.start()
        assert site.wait_connected(PATIENCE)
    finally:
        engine.close()
        site.stop()


def test_a_taken_port_is_said_at_once(federation: FlareFederation, tmp_path: Path) -> None:
    second = FlareEngine(
        tmp_path / "hub/flare", federation.authority.issue("hub2"), FakeHub(), port=federation.flare.port
    )

    with pytest.raises(EngineError, match=str(federation.flare.port)):
        second.start()


def test_a_killed_program_leaves_no_process_of_the_engine(tmp_path: Path) -> None:
    """A program with a hub and a site of its own is killed with -9 while a round runs."""
    program = """
import sys, time
from pathlib import Path
from tests.integration.engine_lab import *
federation = FlareFederation(Path(sys.argv[1]), ["alpha"])
run = federation.hub.add(small_model(), sites=["alpha"], quorum=1, rounds=1)
def report(task):
    print("working", flush=True)
    threading.Event().wait()
federation.sites["alpha"].behaviours[run.run_id] = report
federation.run_leg(run)
"""
    root = Path(__file__).parents[2]
    victim = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "home")], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert victim.stdout is not None
    try:
        assert victim.stdout.readline() == "working\n"
        family = psutil.Process(victim.pid).children(recursive=True)
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()
    assert len(family) == 6, "server and client, and of each its nursery and its job's process"
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert alive == []


def test_the_engine_processes_load_no_deep_learning_and_write_only_where_they_may(federation: FlareFederation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=3, rounds=1)
    seen: dict[str, tuple[str, set[str], int]] = {}

    def look(task: RoundTask) -> RoundUpdate:
        for pid in (federation.flare.pid, federation.clients["alpha"].pid):
            parent = psutil.Process(pid)
            role = parent.cmdline()[3]
            for process in (parent, *parent.children(recursive=True)):
                maps = Path(f"/proc/{process.pid}/maps").read_text()
                seen[role if process == parent else f"{role}'s {process.name()}"] = (
                    maps,
                    # To read, one may be loading a module at this very moment.
                    {file.path for file in process.open_files() if file.mode != "r"},
                    process.memory_info().rss,
                )
        return federation.sites["alpha"].add_step(task)

    federation.sites["alpha"].behaviours[run.run_id] = look
    assert federation.run_leg(run).state is LegState.FINISHED

    assert set(seen) == {
        *("server", "server's nursery", "server's server-job"),
        *("client", "client's nursery", "client's client-job"),
    }
    for role, (maps, files, resident) in seen.items():
        assert "libtorch" not in maps, role
        assert "aiohttp" not in maps, "drivers that nobody uses take a second and 12 MB of every process"
        assert {file for file in files if not Path(file).is_relative_to(federation.home)} == set(), role
        assert resident < 200e6, role
