"""What a person reads at the commands of the front door."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from tests.front_door import studies
from typer.testing import CliRunner

from wardround.cli.main import build

SETTINGS = 'site = "north"\nfederation = "demo"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
RULE = """[[rule]]
name = "brain"
when = 'Modality == "MR" and Rows > 8'
to = "research"
"""


def told(*words: str) -> str:
    result = CliRunner().invoke(build(list(words)), list(words))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(SETTINGS)
    return tmp_path


def test_a_trial_of_the_rules_says_what_each_comparison_saw(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(RULE)
    file = tmp_path / "one.dcm"
    file.write_bytes(studies()[0].slices[0])
    rows = pydicom.dcmread(BytesIO(file.read_bytes())).Rows
    output = told("route", "test", str(file), "--routes", str(tmp_path / "routes.toml"), "--called-title", "ANY")
    assert "research, by brain" in output
    assert 'it is "MR"' in output
    assert f"it is {rows}" in output


@pytest.mark.parametrize("words", [("node", "intake"), ("enclave", "verify"), ("enclave", "status")])
def test_a_home_whose_database_was_never_opened_is_shown_as_empty(home: Path, words: tuple[str, str]) -> None:
    assert told(*words, "--home", str(home)).strip()


def test_what_a_folder_held_that_isnt_taken_is_told_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "note.txt").write_text("no image")
    result = CliRunner().invoke(build(["deid"]), ["deid", str(tmp_path / "in"), str(tmp_path / "out")])
    assert "not-part10: no DICOM file" in result.output
