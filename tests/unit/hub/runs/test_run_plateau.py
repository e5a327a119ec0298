"""A run ends where its rounds no longer make the model better, and says so; a broken leg changes nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from tests.command_line import CommandLine
from tests.unit.hub.runs.run_lab import RunLab

from wardround.hub.audit import Audit
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState
from wardround.hub.runs.view import see

SCORES = [0.0, 0.0, 0.3, 0.5, 0.503, 0.504, 0.9, 0.9, 0.9]
"""What the aggregate is worth that a site is given in each round, which is the round before's."""


@pytest.fixture
def flat(lab: RunLab) -> str:
    run = lab.ready("north", "south", rounds=8, plateau={"rounds": 2, "least": 0.01})
    for hospital in lab.hospitals.values():
        hospital.dice = SCORES.__getitem__
    return run


def test_rounds_end_at_a_plateau_and_the_record_says_so(lab: RunLab, flat: str) -> None:
    lab.drive(flat, RunState.COMPARING)
    row = lab.row(flat)
    # Round 5 tells of round 4: of 0.3, 0.5, 0.503, 0.504 the last two are no better than 0.5 by 0.01.
    assert (row.round, row.reason) == (5, "plateau")
    with lab.database.reading() as session:
        told = session.scalars(select(Audit.detail).where(Audit.subject == flat)).all()
        assert "comparing: plateau" in told
        assert see(session, flat, lab.now.date()).rounds_ended == "plateau"


def test_a_hub_that_dies_at_the_plateau_begins_no_further_leg(lab: RunLab, flat: str) -> None:
    lab.driver.tick()
    leg = lab.leg(flat)
    assert leg is not None and lab.engine.wait(leg, 30).reason == "plateau"
    lab.restart()
    lab.drive(flat, RunState.COMPARING)
    assert (lab.row(flat).round, lab.row(flat).reason) == (5, "plateau")
    with lab.database.reading() as session:
        assert len(queries.legs(session, flat)) == 1


def test_a_run_says_why_its_rounds_ended(
    lab: RunLab, flat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hub.toml").write_text('federation = "testing"\nhost = "127.0.0.1"\n')
    monkeypatch.setenv("COLUMNS", "200")
    lab.drive(flat, RunState.COMPARING)
    shown, _ = CommandLine(monkeypatch, capsys)("run", "show", flat, "--home", tmp_path)
    assert "rounds ended: plateau: the mean over the sites got no better any more" in shown
