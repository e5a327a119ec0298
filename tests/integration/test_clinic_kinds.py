"""Models that tell a class and a volume, trained here, read studies to the end as one that outlines does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from tests.clinic_lab import Clinic, made
from tests.front_door import studies
from tests.unit.learning.test_learning_kinds import CLASSIFIER, ILL, UNET, package

from wardround.dicom.volume import read_volume
from wardround.learning.archive import pack
from wardround.learning.bundle import export_bundle
from wardround.learning.case import Case, Labelled
from wardround.learning.kinds import learner_of
from wardround.node.clinic.states import ReadingState

PATCH = {"kind": "volume", "patch": [4, 16, 16]}


class InThisProcess:
    """The reading process's place: does the work itself."""

    def submit(self, *_: Any) -> Future[None]:
        return Future()

    def call_within(self, _seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


def slices(number: int, *, bright: bool) -> list[bytes]:
    """A study's slices, with a bright block in the middle or not."""
    if not bright:
        return list(studies(3)[number].slices)
    found = []
    for place, part10 in enumerate(studies(3)[number].slices):
        ds = pydicom.dcmread(BytesIO(part10))
        pixels = ds.pixel_array.copy()
        if place in (1, 2):
            pixels[4:10, 4:10] = 2 ** (ds.BitsStored - 1) - 1
        ds.PixelData = pixels.tobytes()
        out = BytesIO()
        ds.save_as(out)
        found.append(out.getvalue())
    return found


def volume(number: int, *, bright: bool) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    found = read_volume(list(slices(number, bright=bright)))
    return found.array, found.spacing


def trained(folder: Path, source: Path, cases: list[Any], steps: int) -> tuple[str, bytes]:
    learner = learner_of(source)
    arrays = learner.train(learner.initial(1), cases, steps=steps, round_number=1, total_rounds=1, seed=2).arrays
    digest = export_bundle(arrays, folder, {}, package=source)
    return digest, pack(folder)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    folder = tmp_path_factory.mktemp("classifier")
    network = {**CLASSIFIER, "in_shape": [1, 4, 16, 16]}
    source = package(folder / "p", network, PATCH, "auc", ILL, batch_size=6, learning_rate=0.02)
    cases = []
    for number in range(3):
        for bright in (False, True):
            array, spacing = volume(number, bright=bright)
            cases.append(Labelled(Case(f"{number}{bright}", array, None, spacing), (float(bright),), float(bright)))
    return trained(folder / "m", source, cases, 60)


@pytest.fixture(scope="module")
def outliner(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    folder = tmp_path_factory.mktemp("outliner")
    source = package(folder / "p", UNET, PATCH, "dice", batch_size=3, learning_rate=0.03, tumour_share=0.8)
    cases = []
    for number in range(3):
        array, spacing = volume(number, bright=True)
        mask = np.zeros(array.shape, bool)
        mask[1:3, 4:10, 4:10] = True
        cases.append(Case(str(number), array, mask, spacing))
    return trained(folder / "m", source, cases, 60)


def read_two(clinic: Clinic, output: str) -> None:
    """Deploy, and have one study without the block read, and one with it."""
    clinic.define(output=output)
    clinic.register()
    clinic.deploy()
    clinic.pacs.up()
    clinic.arrive(0)
    for part10 in slices(1, bright=True):
        clinic.node.door.give(part10, called="CLINIC")
    clinic.node.door.complete()
    clinic.pathway.tick()


@pytest.fixture
def classifying(tmp_path: Path, classifier: tuple[str, bytes]) -> Iterator[Clinic]:
    yield from made(tmp_path, classifier, InThisProcess())


@pytest.fixture
def measuring(tmp_path: Path, outliner: tuple[str, bytes]) -> Iterator[Clinic]:
    yield from made(tmp_path, outliner, InThisProcess())


def test_a_class_is_told_as_a_probability_and_flags_beyond_the_pathways_bound(classifying: Clinic) -> None:
    read_two(classifying, 'kind = "class"\nof = "block"\nflag_above = 0.5')
    without, with_it = classifying.lines()
    assert without.value is not None and with_it.value is not None and without.value < 0.5 < with_it.value
    assert (without.flagged, with_it.flagged) == (False, True)
    assert with_it.finding == f"block: {with_it.value:.0%}" and with_it.volume_ml is None
    assert [line.state for line in (without, with_it)] == [ReadingState.DELIVERED] * 2
    assert {"SR"} <= {str(taken.Modality) for taken in classifying.pacs.taken} and "SEG" not in {
        str(taken.Modality) for taken in classifying.pacs.taken
    }


def test_a_volume_is_told_in_millilitres_with_its_outline(measuring: Clinic) -> None:
    _, spacing = volume(1, bright=True)
    block = 2 * 6 * 6 * float(np.prod(spacing)) / 1000
    read_two(measuring, f'kind = "volume"\nof = "block"\nflag_above = {block / 2:.1f}')
    without, with_it = measuring.lines()
    assert with_it.value is not None and without.value is not None
    assert block / 2 < with_it.value < 2 * block
    assert [line.flagged for line in (without, with_it)] == [without.value > block / 2, True]
    assert with_it.finding == f"block: {with_it.value:.1f} ml" and with_it.volume_ml == with_it.value
    assert any(taken.Modality == "SEG" for taken in measuring.pacs.taken)
