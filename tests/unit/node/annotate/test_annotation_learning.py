"""What is learned from labels here: by the clicks, and by the strategies that choose the next case."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.front_door import FrontDoor, studies

from wardround.compute.worker import Worker
from wardround.foundation.errors import Conflict
from wardround.foundation.files import ObjectStore
from wardround.learning.interactive import judgement
from wardround.learning.interactive.judgement import Judgement, Outlined
from wardround.learning.interactive.network import ClickNetwork
from wardround.node.annotate import lesson, work
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.labels import Drawn, Labels
from wardround.node.annotate.lesson import LabelledSource, Taught
from wardround.node.annotate.subjects import Subjects
from wardround.node.annotate.training import Training
from wardround.node.annotate.volume_file import NIFTI_GZ, NRRD, read_file, write_file
from wardround.node.annotate.work import Ask, NotAnnotated, Source

TAUGHT = Taught(images=1, held_out=0, network=0.8, distance=0.7, kept=True)


def test_clicks_learn_from_a_label_and_what_they_doubt_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        monkeypatch.setattr(judgement, "judged", lambda *_: Judgement(network=0.7, distance=0.6))
        taught = lesson.train(lessons, weights, told, 3, 1, None)
        assert (taught.images, taught.held_out, taught.kept) == (
            1,
            0,
            True,
        ) and "too few to hold any out" in taught.words
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


def test_a_network_that_outlines_worse_than_distance_alone_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    """A bright ball in the dark: one click and distance have it, while a network of two steps has nothing."""
    z, y, x = np.ogrid[:12, :40, :40]
    ball = (z - 6) ** 2 * 4 + (y - 20) ** 2 + (x - 18) ** 2 < 64
    lessons = []
    for number in range(7):
        image, label = tmp_path / f"{number}.nii.gz", tmp_path / f"label-{number}.nii.gz"
        values = 100 + 400 * ball + np.random.default_rng(number).normal(0, 5, ball.shape)
        image.write_bytes(write_file(Grid(values.astype(np.float32), np.eye(4)), NIFTI_GZ))
        label.write_bytes(write_file(Grid(ball.astype(np.uint8), np.eye(4)), NIFTI_GZ))
        lessons.append(LabelledSource(Source((image,), image.name), label))
    weights = tmp_path / "clicks.safetensors"
    weights.write_bytes(b"what answered before")
    taught = lesson.train(lessons, weights, tmp_path / "told.txt", 2, 1, None)
    assert not taught.kept and taught.distance > 0.9 > taught.network
    assert taught.held_out > 0 and taught.images + taught.held_out == 7
    assert "by distance alone" in taught.words and "isn't used" in taught.words
    assert weights.read_bytes() == b"what answered before"


def test_what_is_held_out_stays_so_whatever_is_added() -> None:
    images = [
        (f"{number:064x}", Outlined(np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), bool), (1, 1, 1)))
        for number in range(60)
    ]
    few, _ = lesson._parted(images[:30])
    more, learned = lesson._parted(images)
    assert [one for one in more if any(one is image for _, image in images[:30])] == few
    assert len(more) + len(learned) == 60 and 4 <= len(more) <= 20


def test_an_image_that_is_no_volume_has_no_look_and_is_refused_in_words(tmp_path: Path) -> None:
    source = Source((tmp_path / "gone.dcm",))
    assert work.look(source) == []
    with pytest.raises(NotAnnotated):
        work.image(source)


class Held(Worker):
    """Its work ends as the test says."""

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        self.work: Future[Any] = Future()
        self.asked = args
        return self.work


def test_how_training_ended_is_told_until_another_begins(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    try:
        door.give(*studies(1)[0].slices)
        door.tick()
        subjects, files, worker = Subjects(door.database, door.objects), ObjectStore(tmp_path / "labels"), Held("held")
        labels = Labels(door.database, files, door.objects, door.clock)
        labels.save(subjects.listed()[0], Drawn(b"seg", b"nifti", 60, 0.5), actor="person:dr-lee")
        folder = tmp_path / "training"
        training = Training(door.database, subjects, files, worker, folder, readers=1, threads=1, clock=door.clock)
        for status, last in (
            ("DONE", TAUGHT.words),
            ("ERROR", "the process failed"),
            ("STOPPED", "stopped"),
        ):
            training.start("clicks", {}, actor="person:dr-lee")
            (folder / "progress.txt").write_text("10 of 400 steps, mean loss 0.500\n")
            assert training.status(running_only=True).lines == ["10 of 400 steps, mean loss 0.500"]
            if status == "DONE":
                worker.work.set_result(TAUGHT)
            elif status == "ERROR":
                worker.work.set_exception(RuntimeError("killed"))
            else:
                training.stop(actor="person:dr-lee")
            told = training.status(running_only=False)
            assert (told.status, told.lines) == (status, ["10 of 400 steps, mean loss 0.500", last])
            assert training.lines()[-1] == last
    finally:
        door.close()


def test_of_several_readers_the_accepted_label_trains_the_clicks_which_go_on_from_what_they_know(
    tmp_path: Path,
) -> None:
    door = FrontDoor(tmp_path)
    try:
        door.give(*studies(1)[0].slices)
        door.tick()
        subjects, files, worker = Subjects(door.database, door.objects), ObjectStore(tmp_path / "labels"), Held("held")
        labels = Labels(door.database, files, door.objects, door.clock)
        folder = tmp_path / "training"
        training = Training(door.database, subjects, files, worker, folder, readers=2, threads=1, clock=door.clock)
        subject = subjects.listed()[0]
        source = Source(subjects.files(subject.series).paths)
        grid = work.volume_of(source)
        file = write_file(Grid(np.ones(grid.array.shape, np.uint8), grid.affine), NIFTI_GZ)
        drawn = work.kept(source, "a.nii.gz", file, "", "glioma")
        saved = labels.save(subject, drawn, actor="person:dr-lee")
        with pytest.raises(Conflict, match="no label"):
            training.start("clicks", {}, actor="person:dr-lee")
        labels.accept(saved.id, actor="person:dr-may")
        labels.save(subject, Drawn(b"seg", b"newer", 90, 0.9), actor="person:dr-may")
        for weights in (None, folder / "clicks.safetensors"):
            if weights is not None:
                weights.write_bytes(b"weights")
            training.start("clicks", {}, actor="person:dr-lee")
            [lesson_given] = worker.asked[0]
            assert lesson_given.label.read_bytes() == drawn.nifti and worker.asked[-1] == weights
            worker.work.set_result(TAUGHT)
        training.start("clicks", {"pretrained": False}, actor="person:dr-lee")
        assert worker.asked[-1] is None
    finally:
        door.close()
