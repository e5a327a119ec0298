"""The commands of a validation at a node: what each says, and to whom it leaves the next step."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.clinic_lab import untrained
from tests.command_line import CommandLine
from tests.front_door import SECRET, joined

from wardround.contracts.cohort_builder import imaging, patients
from wardround.learning.packages import Packages

NODE = """
site = "north"
federation = "test-net"

[hub]
host = "127.0.0.1"
api_port = 1
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "node.toml").write_text(NODE)
    joined(tmp_path)
    (tmp_path / "identity" / "pseudonyms.key").write_bytes(SECRET)
    yield tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_a_plan_is_made_shown_and_held_until_the_data_controller_allows_it(
    home: Path, command: CommandLine, tmp_path: Path
) -> None:
    said, _ = command("node", "model", "plans", "--home", home)
    assert "No validation was planned here" in said
    untrained(tmp_path / "model")
    digest = Packages(home / "packages").add(tmp_path / "model")
    question = tmp_path / "question.json"
    question.write_text(patients.with_(imaging(modality="MR")).question().model_dump_json())
    asked = ["node", "model", "plan", digest, "--cohort", question, "--threshold", "0.5", "--home", home]
    for bad, says in (("sensitivity", "isn't a measure and a number"), ("beauty=0.5", "least")):
        _, error = command(*asked, "--least", bad, code=2)
        assert says in error
    said, _ = command(*asked, "--least", "sensitivity=0.8", "--expected", "0.9")
    assert "to show sensitivity above 0.8 where it is 0.9 takes" in said
    plan = said.split("Planned: ")[1][:64]
    said, _ = command("node", "model", "plans", "--home", home)
    assert plan[:12] in said and "waits for the data controller" in said
    _, error = command("node", "model", "validate", plan[:12], "--home", home, code=1)
    assert "the data controller hasn't allowed" in error
    _, error = command("node", "model", "allow", plan[:12], "--until", "soon", "--home", home, code=2)
    assert "is no day" in error
    far = datetime.now(UTC).year + 1
    _, error = command("node", "model", "allow", plan[:12], "--until", f"{far}-01-31", "--home", home, code=1)
    assert "the cohort has 0 patients here" in error
    said, _ = command("node", "model", "gallery", plan[:12], "--home", home)
    assert "It wasn't done yet" in said
    _, error = command("node", "model", "share", plan[:12], "--home", home, code=1)
    assert "do it first" in error
    card = tmp_path / "card.toml"
    card.write_text('intended_use = "Research."\nexclusions = ["children"]\n')
    said, _ = command("node", "model", "card", digest, "--edit", card, "--home", home)
    assert "intended use: Research." in said and "not for: children" in said and digest in said
