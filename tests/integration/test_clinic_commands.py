"""What people at a hospital type: a pathway's file from beginning to end, and their word on a study."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.command_line import CommandLine
from tests.front_door import joined

from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.home import NodeHome

NODE = 'site = "north"\nfederation = "testing"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
MODEL = "3f0c" * 16
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(NODE)
    joined(tmp_path)
    return tmp_path


def read(home: Path, stage: str) -> None:
    """A model is in use at a stage and has read two studies: one that it flagged, after one that it didn't."""
    node = NodeHome(home)
    with node.database.writing() as session:
        row = Deployment(
            model=MODEL,
            package="m",
            pathway="brain",
            stage=stage,
            active=True,
            deployed_by="p",
            deployed_at=NOON,
        )
        session.add(row)
        session.flush()
        for number, flagged in enumerate((False, True)):
            session.add(
                WorklistLine(
                    study=f"{number}" * 32,
                    version=0,
                    deployment=row.id,
                    state=ReadingState.DELIVERED,
                    finding="tumour marked, 4.2 ml" if flagged else "no tumour marked",
                    flagged=flagged,
                    read_as=stage,
                    arrived_at=NOON + timedelta(minutes=number),
                )
            )
    node.close()


def answers(home: Path) -> list[tuple[str, bool, bool | None, str]]:
    node = NodeHome(home)
    with node.database.reading() as session:
        rows = session.scalars(select(WorklistAnswer).order_by(WorklistAnswer.id)).all()
    node.close()
    return [(row.verb, row.shown, row.found, row.reason) for row in rows]


def test_a_pathway_is_begun_checked_and_listed_with_what_keeps_it_from_reading(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wardround = CommandLine(monkeypatch, capsys)
    assert "No pathway is here" in wardround("pathway", "list", "--home", home)[0]
    told, _ = wardround("pathway", "new", "brain", "--from", "glioma-mr", "--home", home)
    assert "refuses to start without one" in told
    assert "names no model, so nothing is read on it" in wardround("pathway", "list", "--home", home)[0]
    _, refused = wardround("node", "deploy", MODEL, "--pathway", "brain", "--home", home, code=1)
    assert "refuses to start without one" in refused
    _, refused = wardround("node", "deploy", MODEL, "--pathway", "heart", "--home", home, code=1)
    assert "there is no pathway heart here (there are: brain)" in refused
    told, _ = wardround("pathway", "new", "other", "--from", "glioma-mr", "--model", MODEL[:12], "--home", home)
    assert "by its whole digest: wardround node deploy DIGEST --pathway other" in told
    (home / "pathways" / "other.toml").unlink()
    file = home / "pathways" / "brain.toml"
    file.write_text(file.read_text().replace('model = ""', f'model = "{MODEL[:12]}"'))
    assert "isn't in use yet" in wardround("pathway", "list", "--home", home)[0]
    told, _ = wardround("pathway", "show", "brain", "--home", home)
    assert "input slice_spacing_mm: 0.8 to 6.5" in told and "input orientation: axial" in told
    read(home, "shadow")
    assert "is in use, at shadow" in wardround("pathway", "list", "--home", home)[0]
    file.write_text(file.read_text() + "\n[extra]\n")
    told, _ = wardround("pathway", "check", "--home", home, code=1)
    assert "unknown key 'extra'" in told and "0 of 1 can be used" in told
    assert "can't be used, so nothing is read on it" in wardround("pathway", "list", "--home", home)[0]


def test_a_radiologists_words_are_typed_and_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    wardround = CommandLine(monkeypatch, capsys)
    read(home, "prioritisation")
    told, _ = wardround("node", "worklist", "--home", home)
    assert told.index("1" * 12) < told.index("0" * 12) and "moved up: flagged by a model" in told
    assert "4.2 ml" in wardround("node", "worklist", "open", "1" * 8, "--home", home)[0]
    _, refused = wardround("node", "worklist", "report", "1" * 8, "--found", "--home", home, code=1)
    assert "no reading of one's own" in refused
    assert wardround("node", "worklist", "reject", "1" * 8, "--reason", "Mr Doe", "--home", home, code=2)
    wardround("node", "worklist", "correct", "1" * 8, "--reason", "too-small", "--home", home)
    told, _ = wardround("node", "worklist", "--home", home)
    assert "1" * 12 not in told and "1" * 12 in wardround("node", "worklist", "--all", "--home", home)[0]
    assert answers(home) == [("open-study", True, None, ""), ("correct-result", True, None, "too-small")]


def test_in_shadow_a_radiologist_is_told_nothing_and_says_what_they_found(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    wardround = CommandLine(monkeypatch, capsys)
    read(home, "shadow")
    told, _ = wardround("node", "worklist", "--home", home)
    told += wardround("node", "worklist", "open", "1" * 8, "--home", home)[0]
    told += wardround("node", "worklist", "report", "1" * 8, "--none", "--home", home)[0]
    told += wardround("node", "worklist", "agree", "1" * 8, "--home", home, code=1)[1]
    assert "marked" not in told and "no result of a model is shown" in told
    assert "finding" not in told.partition("You opened")[0], "a column that says nothing"
    monkeypatch.setenv("COLUMNS", "80")
    told, _ = wardround("node", "worklist", "--all", "--home", home)
    assert "1" * 12 in told, "what the other commands want is cut off"
    assert answers(home) == [("open-study", False, None, ""), ("report-finding", False, False, "")]
