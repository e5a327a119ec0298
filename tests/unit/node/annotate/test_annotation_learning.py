"""What is learned from labels here: by the clicks, and by the strategies that choose the next case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.front_door import FrontDoor, studies

from wardround.learning.interactive.network import ClickNetwork
from wardround.node.annotate import lesson, work
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.lesson import LabelledSource
from wardround.node.annotate.subjects import Subjects
from wardround.node.annotate.volume_file import NIFTI_GZ, NRRD, read_file, write_file
from wardround.node.annotate.work import Ask, NotAnnotated, Source


def test_clicks_learn_from_a_label_and_what_they_doubt_is_told(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    try:
        for study in studies(2):
            door.give(*study.slices)
        door.tick()
        subjects = Subjects(door.database, door.objects)
        sources = [Source(subjects.files(one.series).paths) for one in subjects.listed()]
        grid = work.volume_of(sources[0])
        mask = np.zeros(grid.array.shape, np.uint8)
        mask[1:3, 4:9, 5:11] = 1
        label, weights, told = tmp_path / "label.nii.gz", tmp_path / "clicks.safetensors", tmp_path / "told.txt"
        label.write_bytes(write_file(Grid(mask, grid.affine), NIFTI_GZ))
        lessons = [LabelledSource(sources[0], label), LabelledSource(sources[1], tmp_path / "purged.nii.gz")]
        assert lesson.train(lessons, weights, told, 3, 1, None) == 1
        assert told.read_text().startswith("3 of 3 steps")
        ClickNetwork.of(weights.read_bytes())
        ask = Ask(sources[0], "clicks", NRRD, network=weights, foreground=((7, 6, 1),))
        assert read_file(work.infer(ask).data, "a.nrrd").array.shape == grid.array.shape
        doubt = work.doubt(sources[1], weights, 1)
        assert doubt is not None and 0 <= doubt <= 1
        looks = [np.array(work.look(source)) for source in sources]
        assert looks[0].shape == looks[1].shape and np.linalg.norm(looks[0] - looks[1]) > 0
        with pytest.raises(NotAnnotated):
            lesson.train(lessons[1:], weights, told, 1, 1, None)
    finally:
        door.close()


def test_an_image_that_is_no_volume_has_no_look_and_is_refused_in_words(tmp_path: Path) -> None:
    source = Source((tmp_path / "gone.dcm",))
    assert work.look(source) == []
    with pytest.raises(NotAnnotated):
        work.image(source)
