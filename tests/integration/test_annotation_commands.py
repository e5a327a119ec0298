"""`wardround node annotate`: labels listed, decided on and written out, on the record under somebody's name."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.front_door import FrontDoor, studies
from typer.testing import CliRunner, Result

from wardround.cli.node import app
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.foundation.files import ObjectStore
from wardround.node.annotate import work
from wardround.node.annotate.forgetting import label_files
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.labels import Labels
from wardround.node.annotate.subjects import Subjects
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file, write_file
from wardround.node.annotate.work import Source
from wardround.people.sessions import NotSignedIn

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A node with one patient, drawn by two people."""
    (tmp_path / "node.toml").write_text(NODE)
    door = FrontDoor(tmp_path)
    door.give(*studies(1)[0].slices)
    door.tick()
    labels = Labels(door.database, label_files(tmp_path), ObjectStore(tmp_path / "enclave" / "objects"))
    [subject] = Subjects(door.database, door.objects).listed()
    source = Source(Subjects(door.database, door.objects).files(subject.series).paths)
    affine = work.volume_of(source).affine
    for author, last in (("person:dr-lee", 9), ("person:dr-may", 11)):
        mask = np.zeros((4, 16, 16), np.uint8)
        mask[1, 2:6, 3:last] = 1
        drawn = work.kept(source, "a.nii.gz", write_file(Grid(mask, affine), NIFTI_GZ), "", "glioma")
        labels.save(subject, drawn, actor=author)
    door.close()
    yield tmp_path


def typed(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["annotate", *words, "--home", str(home)], env={"COLUMNS": "250"})


def test_labels_are_listed_compared_and_decided_on(home: Path) -> None:
    listed = typed(home, "list")
    assert listed.exit_code == 0, listed.output
    assert "dr-lee" in listed.output and "dr-may" in listed.output
    assert "mean Dice 0.857" in typed(home, "agreement").output
    assert "cohorts count the series as labelled" in typed(home, "accept", "1").output
    assert "stays on the record" in typed(home, "reject", "2", "--reason", "too wide").output
    after = typed(home, "list").output
    assert "accepted by os:" in after and "rejected by os:" in after
    assert isinstance(typed(home, "accept", "9").exception, NotFound)
    assert typed(home, "reject", "1").exit_code == 2
    assert isinstance(typed(home, "reject", "1", "--reason", " ").exception, NotAllowed)
    assert "No case was drawn yet" in typed(home, "times").output


def test_a_label_is_written_out_in_both_forms(home: Path) -> None:
    assert typed(home, "export", "1", str(home / "a.dcm")).exit_code == 0
    seg = pydicom.dcmread(BytesIO((home / "a.dcm").read_bytes()))
    assert (seg.Modality, seg.SegmentSequence[0].SegmentAlgorithmType) == ("SEG", "MANUAL")
    assert typed(home, "export", "1", str(home / "a.nii.gz"), "--form", "nifti").exit_code == 0
    assert int(read_file((home / "a.nii.gz").read_bytes(), "a.nii.gz").array.sum()) == 24


def test_an_address_needs_somebody_who_is_signed_in(home: Path) -> None:
    assert isinstance(typed(home, "address").exception, NotSignedIn)
