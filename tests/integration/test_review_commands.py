"""`wardround deid review`: what a person at the node types and reads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from tests.front_door import FrontDoor, studies
from tests.integration.test_review_queue import NO_READER, marked, states, stored
from typer.testing import CliRunner, Result

from wardround.cli.deid import app
from wardround.dicom.pixels_screening import Screener
from wardround.foundation.errors import NotFound

NODE = """\
site = "north"
federation = "trial"
[hub]
host = "127.0.0.1"
api_port = 1
"""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    (tmp_path / "node.toml").write_text(NODE)
    door = FrontDoor(tmp_path, screener=Screener(reader=NO_READER))
    door.give(*(marked(part10, BurnedInAnnotation="YES") for part10 in studies()[0].slices))
    door.tick()
    yield door
    door.close()


def typed(door: FrontDoor, *words: str) -> Result:
    return CliRunner().invoke(app, ["review", *words, "--home", str(door.home)], env={"COLUMNS": "200"})


def test_the_list_says_why_and_not_whose(door: FrontDoor) -> None:
    shown = typed(door)
    assert shown.exit_code == 0, shown.output
    assert "burned-in-annotation" in shown.output
    assert "4 wait for a person" in shown.output
    header = pydicom.dcmread(io.BytesIO(studies()[0].slices[0]))
    for told in (header.PatientID, str(header.PatientName).split("^")[0], header.AccessionNumber):
        assert told not in shown.output


def test_a_picture_is_written_for_a_person_alone(door: FrontDoor, tmp_path: Path) -> None:
    out = tmp_path / "look.png"
    shown = typed(door, "show", "1", "--out", str(out))
    assert shown.exit_code == 0, shown.output
    assert Image.open(out).size == (16, 16)
    assert out.stat().st_mode & 0o077 == 0
    assert "PatientID" not in shown.output
    named = typed(door, "show", "1", "--out", str(out), "--identity")
    assert pydicom.dcmread(io.BytesIO(studies()[0].slices[0])).PatientID in named.output


def test_decisions_take_effect_at_the_next_step(door: FrontDoor) -> None:
    assert typed(door, "refuse", "1", "--reason", "a form").exit_code == 0
    boxed = typed(door, "redact", "2", "--box", "0,0,3,16", "--frames", "1", "--reason", "a name on top")
    assert boxed.exit_code == 0, boxed.output
    approved = typed(door, "approve", "3", "--reason", "nothing in it", "--series")
    assert "Approved: 2 images" in approved.output
    door.tick()
    assert states(door) == {"refused": 1, "deidentified": 3}
    tops = {len(set(image.pixel_array[:3].ravel().tolist())) for image in stored(door)}
    assert 1 in tops
    assert "Nothing waits for a person." in typed(door).output
    assert "refused by os:" in typed(door, "--decided").output


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "-1,0,1,1", "0,0,0,1"])
def test_a_box_that_is_none_is_a_line_of_help(door: FrontDoor, box: str) -> None:
    shown = typed(door, "redact", "1", f"--box={box}", "--reason", "x")
    assert shown.exit_code == 2
    assert "ROW,COLUMN,HEIGHT,WIDTH" in shown.output
    assert states(door) == {"review": 4}


def test_a_number_that_is_none_is_one_line(door: FrontDoor) -> None:
    assert isinstance(typed(door, "approve", "99", "--reason", "x").exception, NotFound)
