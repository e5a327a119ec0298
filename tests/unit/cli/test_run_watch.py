"""A run is watched until it is over, on a terminal or line by line; whoever leaves changes nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.command_line import CommandLine
from tests.federation_lab import eventually
from tests.unit.hub.runs.run_lab import Hospital, RunLab

from wardround.contracts.ledger_entry import Update
from wardround.federation.engine import RoundTask
from wardround.hub.runs import actions, queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.view import see
from wardround.ledger import store

Watched = Callable[..., tuple[str, str]]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunLab]:
    (tmp_path / "hub.toml").write_text('federation = "testing"\nhost = "127.0.0.1"\n')
    made = RunLab(tmp_path)
    yield made
    made.close()


@pytest.fixture
def watched(
    lab: RunLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Watched:
    """Watch a run; each time that the watcher would sleep, the next of `steps` happens."""
    monkeypatch.setenv("COLUMNS", "200")
    command = CommandLine(monkeypatch, capsys)

    def watch(run: str, *steps: Callable[[], object], code: int = 0) -> tuple[str, str]:
        left = iter(steps)
        monkeypatch.setattr("wardround.cli.watch.time", SimpleNamespace(sleep=lambda _: next(left)()))
        return command("run", "watch", run, "--home", tmp_path, code=code)

    return watch


def to_its_end(lab: RunLab, run: str) -> list[Callable[[], object]]:
    """What happens to a run of two rounds, from its start until it is finished."""
    return [
        lambda: lab.drive(run, RunState.COMPARING),
        lab.train_alone,
        lambda: lab.drive(run, RunState.EVALUATING),
        lambda: lab.judge(lambda site, task: 0.5),
        lambda: lab.drive(run, RunState.FINISHED),
    ]


def leave() -> None:
    raise KeyboardInterrupt


def test_each_round_is_a_line_with_sites_bytes_and_who_is_missing(lab: RunLab, watched: Watched) -> None:
    run = lab.ready("north", "south", "west")
    del lab.connected["west"]
    out, _ = watched(run, *to_its_end(lab, run))
    lines = out.splitlines()
    assert lines[0] == f"{run}: gathering (); waits for a quorum of sites to connect to the engine"
    rounds = [line for line in lines if line.startswith("round ")]
    assert len(rounds) == 2, "each once"
    assert re.match(
        r"round 1 of 2: \d+\.\d s; Dice of round 0: 0\.100 \| north 0\.100, \d+ bytes up, \d+ bytes", rounds[0]
    )
    assert rounds[1].endswith("| west missing (not-connected)") and "| south 0.200, " in rounds[1]
    assert any(
        line.endswith("waits for each site's model trained alone, or a merge's statistics: north, south")
        for line in lines
    )
    assert any(line.endswith("waits for each site's judgement of each model: north, south") for line in lines)
    model = lab.row(run).model
    assert f"Run {run} finished after round 2 (last-round): model {model} of round" in out
    assert f"wardround run plot {run}" in out


def test_on_a_terminal_the_sites_stand_below_the_rounds(
    lab: RunLab, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    run = lab.ready("north", "south")
    out, _ = watched(run, *to_its_end(lab, run))
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out).rpartition("missing or refused")[2]
    with lab.database.reading() as session:
        sent, given = queries.bytes_by_site(session, run)["south"]
    assert sent > 0 and given > 0
    assert re.search(r"each site's model trained alone[^;]*; so far \d+ s", " ".join(out.split()))
    assert re.search(rf"south +│ 2 +│ \d+\.\d +│ 0.200 .* {sent} bytes +│ {given} bytes", last)


def test_leaving_changes_nothing(lab: RunLab, watched: Watched) -> None:
    run = lab.ready("north", "south")
    _, err = watched(run, leave, code=130)
    assert "the run goes on without you" in err and f"wardround run watch {run}" in err
    assert lab.state(run) is RunState.GATHERING


@pytest.mark.parametrize(("end", "code"), [(RunState.FAILED, 3), (RunState.ENDED, 4)])
def test_the_exit_status_tells_the_outcome(lab: RunLab, watched: Watched, end: RunState, code: int) -> None:
    run = lab.ready("north", "south")

    def over() -> None:
        with lab.database.writing() as session:
            row = queries.row_of(session, run)
            actions.end(session, row, end, reason="the scanner is gone", actor="operator:test", at=lab.clock())

    out, _ = watched(run, over, code=code)
    assert f"Run {run} is {end} after round 0: the scanner is gone" in out


def test_a_stopped_run_is_watched_on(lab: RunLab, watched: Watched) -> None:
    run = lab.ready("north", "south")

    def stop() -> None:
        with lab.database.writing() as session:
            actions.stop(session, queries.row_of(session, run), reason="lunch", actor="operator:test", at=lab.clock())

    out, _ = watched(run, stop, leave, code=130)
    assert f"{run}: stopped (lunch); waits for a person, who resumes it" in out


def test_a_round_under_way_tells_who_gave_who_works_and_who_isnt_there(lab: RunLab) -> None:
    run = lab.ready("north", "south", "west")
    del lab.connected["west"]
    reached, go_on = threading.Event(), threading.Event()

    def hold(site: Hospital, task: RoundTask) -> None:
        site.use(task.run_id, purpose="training", round=task.round)
        reached.set()
        assert go_on.wait(30)

    def south_gave() -> bool:
        with lab.database.reading() as session:
            said = store.entries_at(session, range(store.size(session))).values()
        return any(isinstance(one, Update) and one.origin == "south" for one in said)

    lab.hospitals["north"].before = hold
    lab.driver.tick()
    try:
        assert reached.wait(30)
        eventually(south_gave)
        lab.driver.tick()
        with lab.database.reading() as session:
            view = see(session, run, lab.now.date())
        assert view.waits_for == "round 1 of 2; given: south; at work: north; not in the leg: west (not-connected)"
    finally:
        go_on.set()
    lab.drive(run, RunState.COMPARING)
