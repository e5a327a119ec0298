"""What the processes of annotation do: volumes and labels as files, outlines with a person's help, traits of images.

Runs in `compute.worker.Worker`s, each function with all that it needs as arguments; what was read last stays in memory,
so that of a person's clicks on one image only the first one reads it. None of it has a way to the network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wardround.dicom.segmentation_reading import SegmentationRefused, read_segmentation, referenced_series_uid
from wardround.dicom.volume import Volume, VolumeRefused, read_volume
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.learning.case import Case, CaseRefused
from wardround.learning.interactive import geodesic
from wardround.learning.interactive.canvas import Canvas
from wardround.learning.interactive.interpolation import between
from wardround.node.annotate.grid import Grid, GridRefused, laid_on
from wardround.node.annotate.labels import Drawn
from wardround.node.annotate.volume_file import NIFTI_GZ, narrowed, read_file, write_file

if TYPE_CHECKING:
    from wardround.learning.arrays import Arrays
    from wardround.learning.interactive.network import ClickNetwork
    from wardround.learning.learner import Learner
    from wardround.node.training.own import SealedArrays

Mark = tuple[int, int, int]
BACKGROUND_SCRIBBLE, FOREGROUND_SCRIBBLE = 2, 3
"""How MONAI Label's clients draw scribbles of one label: the label itself is 1."""


class NotAnnotated(WardroundError):
    """An image that can't be annotated, or a label that can't be used; the text is for whoever sent the call."""

    code = "not-annotated"


@dataclass(frozen=True)
class Source:
    """Where an image is: the objects of a series, or one file that a client sent, `name` saying which kind it is."""

    paths: tuple[Path, ...] = field(repr=False)
    name: str = ""


@dataclass(frozen=True)
class Ask:
    """What a person asks for.

    model: `clicks`, `scribbles`, `interpolation`, or the folder of a model package. network: the weights of the click
    network, if it was trained. own: what this hospital lays over the package. foreground, background: voxel indices
    (i, j, k) as clients count them: column, row, slice. drawn: a mask's name and bytes. values: what stands for
    foreground and background in it.
    """

    source: Source
    model: str
    ending: str
    kind: str = "uint8"
    compressed: bool = False
    network: Path | None = None
    package: Path | None = None
    own: SealedArrays | None = None
    foreground: tuple[Mark, ...] = ()
    background: tuple[Mark, ...] = ()
    drawn: tuple[str, bytes] | None = field(default=None, repr=False)
    values: tuple[int, int] = (FOREGROUND_SCRIBBLE, BACKGROUND_SCRIBBLE)
    threads: int = 1


@dataclass(frozen=True)
class Outline:
    """A file with the outline, and how long it took in seconds."""

    data: bytes = field(repr=False)
    voxels: int
    seconds: float


def image(source: Source, ending: str = NIFTI_GZ) -> bytes:
    """An image as a file for clients. Raises `NotAnnotated`."""
    grid = volume_of(source)
    return write_file(Grid(narrowed(grid.array), grid.affine), ending)


def infer(ask: Ask) -> Outline:
    """The outline that is asked for. Raises `NotAnnotated`."""
    began = time.perf_counter()
    grid = volume_of(ask.source)
    mask = _ANSWERS.get(ask.model, _automatic)(ask, grid)
    data = write_file(Grid(mask.astype(ask.kind), grid.affine), ask.ending, compressed=ask.compressed)
    return Outline(data, int(np.count_nonzero(mask)), time.perf_counter() - began)


def infer_seg(ask: Ask, name: str, version: str) -> Outline:
    """As `infer`, as a DICOM SEG of the series. Raises `NotAnnotated`."""
    from wardround.dicom.segmentation import write_segmentation

    began = time.perf_counter()
    if ask.source.name:
        raise NotAnnotated("a DICOM SEG is made of a series of DICOM alone")
    mask = _ANSWERS.get(ask.model, _automatic)(ask, volume_of(ask.source))
    seg = write_segmentation(ask.source.paths, mask, model_name=name, model_version=version)
    return Outline(seg, int(np.count_nonzero(mask)), time.perf_counter() - began)


def kept(source: Source, name: str, data: bytes, helped: str, label: str) -> Drawn:
    """A label that a client sent as a file, as what is kept of it. Raises `NotAnnotated`."""
    try:
        drawn = laid_on(read_file(data, name), volume_of(source))
    except GridRefused as refused:
        raise NotAnnotated(str(refused)) from None
    values = set(np.unique(drawn).tolist()) - {0}
    if len(values) > 1:
        raise NotAnnotated(f"the label holds {len(values)} structures; here one is drawn, {label}")
    return _kept(source, drawn > 0, helped, label)


def kept_of_seg(source: Source, data: bytes, helped: str, label: str) -> Drawn:
    """As `kept`, of a DICOM SEG that a viewer stored. Raises `NotAnnotated`."""
    try:
        mask = read_segmentation(data, _volume(source.paths))
    except SegmentationRefused as refused:
        raise NotAnnotated(str(refused)) from None
    return _kept(source, mask, helped, label)


def segmented_series(data: bytes) -> str:
    """The series that a stored SEG was drawn on. Raises `NotAnnotated`."""
    try:
        return referenced_series_uid(data)
    except SegmentationRefused as refused:
        raise NotAnnotated(str(refused)) from None


def overlap(one: bytes, other: bytes) -> float:
    """Dice between two labels, as the NIfTI files that were kept of them."""
    from wardround.learning.metrics import dice

    first, second = (read_file(data, NIFTI_GZ).array > 0 for data in (one, other))
    return float(dice(first, second))


def look(source: Source) -> list[float]:
    """How an image looks, as a vector of length 1: brightness over coarse blocks and how often each level is there.
    Empty where the image is no volume that could be annotated."""
    try:
        values = geodesic.Coarse.of(*_image_of(volume_of(source))).values
    except NotAnnotated:
        return []
    low, high = np.percentile(values, (1.0, 99.0))
    scaled = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
    blocks = [np.array_split(np.arange(extent), min(6, extent)) for extent in scaled.shape]
    means = [float(scaled[np.ix_(z, y, x)].mean()) for z in blocks[0] for y in blocks[1] for x in blocks[2]]
    levels = np.histogram(scaled, bins=16, range=(0, 1))[0] / scaled.size
    vector = np.concatenate([np.resize(means, 216) / 6, levels * 4])
    return [round(float(one), 5) for one in vector / max(float(np.linalg.norm(vector)), 1e-6)]


def doubt(source: Source, network: Path, threads: int) -> float | None:
    """How unsure the click network is of an image without any click, from 0 to 1; None where it can't be asked."""
    try:
        canvas = _canvas(source)
    except NotAnnotated:
        return None
    return _network(network, network.stat().st_mtime_ns, threads).doubt(canvas)


def _clicks(ask: Ask, grid: Grid) -> NDArray[np.bool_]:
    foreground, background = ([_index(mark, grid) for mark in marks] for marks in (ask.foreground, ask.background))
    if ask.network is not None:
        network = _network(ask.network, ask.network.stat().st_mtime_ns, ask.threads)
        return network.outline(_canvas(ask.source), foreground, background)
    return geodesic.outline(_coarse(ask.source), foreground, background)


def _scribbles(ask: Ask, grid: Grid) -> NDArray[np.bool_]:
    drawn = _drawn(ask, grid)
    marks = [[(int(z), int(y), int(x)) for z, y, x in np.argwhere(drawn == value)] for value in ask.values]
    if not marks[0]:
        raise NotAnnotated("nothing is scribbled as foreground")
    return geodesic.outline(_coarse(ask.source), marks[0], marks[1])


def _interpolation(ask: Ask, grid: Grid) -> NDArray[np.bool_]:
    return between(_drawn(ask, grid) > 0)


def _automatic(ask: Ask, grid: Grid) -> NDArray[np.bool_]:
    if ask.package is None:
        raise NotAnnotated("there is no model of this name")
    if ask.own is not None and not ask.own.there:
        _model.cache_clear()  # so that no memory of them is read with
    try:
        learner, arrays = _model(ask.package, ask.own, ask.threads)
    except NotAllowed as refused:
        raise NotAnnotated(str(refused)) from None
    array, spacing = _image_of(grid)
    try:
        return np.asarray(learner.predict(arrays, Case("", array, None, spacing)), np.bool_)
    except CaseRefused as refused:
        raise NotAnnotated(f"the model can't read this image ({refused.reason})") from None


_ANSWERS: Mapping[str, Callable[[Ask, Grid], NDArray[np.bool_]]] = {
    "clicks": _clicks,
    "scribbles": _scribbles,
    "interpolation": _interpolation,
}


def _drawn(ask: Ask, grid: Grid) -> NDArray[Any]:
    if ask.drawn is None:
        raise NotAnnotated("what was drawn is missing; send it as the file `label`")
    try:
        return laid_on(read_file(ask.drawn[1], ask.drawn[0]), grid)
    except GridRefused as refused:
        raise NotAnnotated(str(refused)) from None


def _kept(source: Source, mask: NDArray[np.bool_], helped: str, label: str) -> Drawn:
    from wardround.dicom.segmentation import write_annotation

    volume = _volume(source.paths)
    seg = write_annotation(
        source.paths, mask, label=label, series_description=f"{label}, drawn here", assisted_by=helped or None
    )
    nifti = write_file(Grid(mask.astype(np.uint8), volume.affine), NIFTI_GZ)
    voxels = int(np.count_nonzero(mask))
    return Drawn(seg, nifti, voxels, voxels * math.prod(volume.spacing) / 1000)


def _index(mark: Sequence[int], grid: Grid) -> Mark:
    x, y, z = (int(at) for at in mark)
    if not all(0 <= at < extent for at, extent in zip((z, y, x), grid.array.shape, strict=True)):
        raise NotAnnotated("a click lies beside the image; clicks are (column, row, slice) of it, from 0")
    return z, y, x


def _image_of(grid: Grid) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    return np.asarray(grid.array, np.float32), grid.spacing


def volume_of(source: Source) -> Grid:
    """An image on its grid. Raises `NotAnnotated`."""
    if source.name:
        return _file(source.paths[0], source.name)
    volume = _volume(source.paths)
    return Grid(volume.array, volume.affine)


@lru_cache(maxsize=4)
def _volume(paths: tuple[Path, ...]) -> Volume:
    try:
        return read_volume(paths)
    except VolumeRefused as refused:
        raise NotAnnotated(f"this series can't be drawn on: {refused}") from None
    except OSError:
        raise NotAnnotated("an object of this series is gone") from None


@lru_cache(maxsize=2)
def _file(path: Path, name: str) -> Grid:
    try:
        return read_file(path.read_bytes(), name)
    except GridRefused as refused:
        raise NotAnnotated(str(refused)) from None
    except OSError:
        raise NotAnnotated("the file that was sent is gone; send it again") from None


@lru_cache(maxsize=4)
def _coarse(source: Source) -> geodesic.Coarse:
    return geodesic.Coarse.of(*_image_of(volume_of(source)))


@lru_cache(maxsize=2)
def _network(path: Path, _written: int, threads: int) -> ClickNetwork:
    from wardround.learning.interactive.network import ClickNetwork

    return ClickNetwork.of(path.read_bytes(), threads)


@lru_cache(maxsize=4)
def _canvas(source: Source) -> Canvas:
    return Canvas.of(*_image_of(volume_of(source)))


@lru_cache(maxsize=2)
def _model(package: Path, own: SealedArrays | None, threads: int) -> tuple[Learner[Any, Any], Arrays]:
    from wardround.learning.bundle import load_bundle
    from wardround.learning.kinds import learner_of
    from wardround.node.clinic.own_layers import with_own

    bundle, arrays = load_bundle(package)
    return learner_of(bundle, threads=threads), with_own(package, arrays, own)
