"""What the process behind the viewer does: a series as a volume, a segmentation on its grid, its middle as a picture.

Runs in `compute.worker.Worker` (`Desk.volumes`), each function with all that it needs as arguments. What was read last
stays in memory, so that what is laid over a volume reads the volume no second time.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wardround.dicom.damage import DAMAGE
from wardround.dicom.edge import edge_of
from wardround.dicom.segmentation_reading import SegmentationRefused, read_segmentation
from wardround.dicom.volume import Volume, VolumePolicy, VolumeRefused, read_volume, volumes_in
from wardround.dicom.volume_refusal import open_instance
from wardround.foundation.errors import WardroundError
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.volume_file import NIFTI_GZ, narrowed, write_file
from wardround.node.clinic.definition import Definition
from wardround.node.clinic.examination import series_of
from wardround.node.dicomweb.pixels import PixelsUnreadable
from wardround.node.dicomweb.rendering import View, rendered
from wardround.node.receive.arrival import Unreadable

DEFERRED = 4096
"""Bytes of an element from which on it isn't read for what is said by headers alone."""
_TALLEST = 512
_MARK = (255, 176, 0)
SHOWING = VolumePolicy(multi_frame="read")
"""Every slice as it is, or nothing, whichever kind of object holds it: who looks is shown nothing that was made up."""


class NotShown(WardroundError):
    """A series that is no volume, or a segmentation that doesn't lie on it; the text is for who looks."""

    code = "not-shown"


@lru_cache(maxsize=16)
def apart(paths: tuple[Path, ...]) -> list[str]:
    """What sets each volume of a series apart from the others, as in `b-value 1000`; one line for the only one there
    is, and none of what is no volume, which `volume` says why."""
    try:
        headers = [open_instance(path, later=DEFERRED) for path in paths]
        return [", ".join(f"{name} {value}" for name, value in tells) for tells in volumes_in(headers, SHOWING)]
    except DAMAGE:  # `VolumeRefused` is among them
        return []


def volume(paths: tuple[Path, ...], which: int | None = None) -> bytes:
    """A series, or of its volumes that one, counted from 0, as gzipped NIfTI-1 on its own grid. Raises `NotShown`, also
    where there are several and none is chosen."""
    read = _volume(paths, which)
    return write_file(Grid(narrowed(read.array), read.affine), NIFTI_GZ)


def mask(paths: tuple[Path, ...], segmentation: Path, which: int | None = None) -> bytes:
    """A binary SEG of that series as gzipped NIfTI-1 of 0 and 1, on the grid of `volume`. Raises `NotShown`."""
    drawn = _mask(paths, segmentation, which)
    return write_file(Grid(drawn.astype(np.uint8), _volume(paths, which).affine), NIFTI_GZ)


def picture(paths: tuple[Path, ...], segmentation: Path | None = None, which: int | None = None) -> bytes:
    """The middle slice of a series as PNG, or the one on which a segmentation marks most, with its outline. Of what is
    no volume the middle object is shown as it is. Raises `NotShown`."""
    from PIL import Image

    try:
        read = _volume(paths, which)
    except NotShown:
        return _as_it_is(paths)
    drawn = None if segmentation is None else _mask(paths, segmentation, which)
    at = read.shape[0] // 2 if drawn is None else int(drawn.sum(axis=(1, 2)).argmax())
    low, high = np.percentile(read.array, (1.0, 99.5))
    levels = np.clip((read.array[at] - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    coloured = np.repeat(levels[..., None], 3, axis=2)
    if drawn is not None:
        coloured[edge_of(drawn[at])] = _MARK
    tall, wide = levels.shape[0] * read.spacing[1], levels.shape[1] * read.spacing[2]
    scale = _TALLEST / max(tall, wide)
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    buffer = io.BytesIO()
    Image.fromarray(coloured).resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def read_of(definition: Definition, files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Of a study of the clinical path the series that its pathway reads, or the largest where it reads none. Raises
    `NotShown`."""
    try:
        series = series_of(definition, files)
    except (Unreadable, OSError):
        raise NotShown("an image of this study can't be read") from None
    fitting = [one for one in series if one.reads] or list(series)
    return max(fitting, key=lambda one: len(one.files)).files


def _as_it_is(paths: tuple[Path, ...]) -> bytes:
    try:
        return rendered(paths[len(paths) // 2], 1, View(size=(_TALLEST, _TALLEST)), "image/png")
    except (PixelsUnreadable, OSError, IndexError):
        raise NotShown("this series has no picture that can be shown") from None


def _mask(paths: tuple[Path, ...], segmentation: Path, which: int | None) -> NDArray[np.bool_]:
    try:
        return read_segmentation(segmentation, _volume(paths, which))
    except SegmentationRefused as refused:
        raise NotShown(f"this label can't be laid over the series: {refused}") from None
    except OSError:
        raise NotShown("this label isn't here any more") from None


@lru_cache(maxsize=2)
def _volume(paths: tuple[Path, ...], which: int | None) -> Volume:
    try:
        return read_volume(paths, SHOWING, which=which)
    except VolumeRefused as refused:
        raise NotShown(f"this series can't be scrolled through: {refused}") from None
    except OSError:
        raise NotShown("an object of this series is gone") from None
