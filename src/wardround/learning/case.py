"""One patient's FLAIR volume, and the way from a scanner's grid to a network's and back.

Frame: arrays are (Z, Y, X) = (slices from the feet to the head, rows, columns) of an axial series, as
`dicom.read_volume` gives them: rows run to the back, columns to the patient's left.

A `Preparation` needs no knowledge of the scanner. Brightness is told in multiples of the head's median, so any
unit and bit depth will do. In the plane the head is centred on its centre of mass and scaled so that its cross
section has a set area; the header's spacing is only used for what the head can't tell (whether pixels are
square, and how far apart slices are), since a wrong or missing spacing is common in converted data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float16, np.float32)


class CaseRefused(ValueError):
    """A case that can't be learned from; `reason` is a short code, the message names no patient and no path."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Example(Protocol):
    """What every kind of case says of itself.

    name: a pseudonym. labelled: whether there is something to train on or to judge by. rank: where a labelled case
    stands among others, so that a split has all sorts on both sides; only the order counts.
    """

    @property
    def name(self) -> str: ...

    @property
    def labelled(self) -> bool: ...

    @property
    def rank(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Case:
    """One patient as a node trains on it.

    name: a pseudonym.
    image: (Z, Y, X), real numbers of any unit.
    label: bool (Z, Y, X), the tumour; `None` where nobody has drawn it.
    spacing: millimetres along (z, y, x).

    Raises:
        CaseRefused: at construction; the image isn't a finite volume, the shapes differ, the spacing isn't
            three numbers above 0.
    """

    name: str
    image: NDArray[Any]
    label: NDArray[np.bool_] | None
    spacing: tuple[float, float, float]

    def __post_init__(self) -> None:
        _check_image(self.image, self.spacing)
        if self.label is not None and self.label.shape != self.image.shape:
            raise CaseRefused("shapes-differ", f"the mask is {self.label.shape} voxels, the image {self.image.shape}")
        if self.label is not None and self.label.dtype != np.bool_:
            raise CaseRefused("wrong-type", f"the mask holds {self.label.dtype}, not booleans")

    @property
    def labelled(self) -> bool:
        return self.label is not None

    @property
    def rank(self) -> float:
        return self.volume_ml

    @property
    def volume_ml(self) -> float:
        """Volume of the labelled tumour in millilitres; 0 without a label."""
        voxels = 0 if self.label is None else int(np.count_nonzero(self.label))
        return voxels * math.prod(self.spacing) / 1000


@dataclass(frozen=True, eq=False)
class Labelled:
    """A volume, its own mask aside, and what is to be told of the patient (`learning.fact.Target`); `target` is empty
    where that isn't known."""

    volume: Case
    target: tuple[float, ...]
    rank: float = 0.0

    @property
    def name(self) -> str:
        return self.volume.name

    @property
    def labelled(self) -> bool:
        return bool(self.target)


@dataclass(frozen=True)
class Preparation:
    """How volumes are brought to the network's grid; part of a model package, since weights rest on it.

    grid: rows and columns of the network's input.
    head_area: pixels of the grid that a head's cross section covers (the upper quartile over slices).
    head_threshold: where tissue begins, as a share of the way from the darkest to the brightest percentile.
    neighbour_mm: distance from a slice to the neighbours given to the network as further channels.
    neighbours: how many of them on each side.
    fold: blocks of fold x fold pixels enter and leave the network as channels of one, so that it works on a
        coarser plane without losing detail (Shi et al., sub-pixel convolution, CVPR 2016).
    brightest: values above this multiple of the head's median are cut.
    """

    grid: tuple[int, int] = (96, 80)
    head_area: float = 5200.0
    head_threshold: float = 0.15
    neighbour_mm: float = 4.0
    neighbours: int = 1
    fold: int = 2
    brightest: float = 4.0

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Preparation:
        """From the `preparation` of a bundle. Raises `ValueError` on a name that isn't one of the fields."""
        values = {name: value for name, value in values.items() if name != "kind"}
        known = {field.name for field in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ValueError(f"preparation holds unknown names: {', '.join(unknown)}; known are {sorted(known)}")
        rows, columns = values.get("grid", cls.grid)
        return cls(**{**values, "grid": (int(rows), int(columns))})

    @property
    def inputs(self) -> int:
        """Channels that enter the network: folded pixels of a slice and its neighbours, from below to above."""
        return (2 * self.neighbours + 1) * self.fold**2

    @property
    def outputs(self) -> int:
        """Channels that leave the network: a logit for each folded pixel."""
        return self.fold**2

    def place(self, image: NDArray[Any], spacing: tuple[float, float, float]) -> Placement:
        """Find the head. Raises `CaseRefused` where the volume isn't finite, or is all of one value."""
        _check_image(image, spacing)
        volume = np.asarray(image, np.float32)
        dark, bright = (float(value) for value in np.percentile(volume, (1.0, 99.0)))
        if not bright > dark:
            raise CaseRefused("empty-image", "99 of 100 voxels of the image have one value: there is no head in it")
        head = volume > dark + self.head_threshold * (bright - dark)
        area = max(float(np.percentile(head.sum((1, 2)), 75.0)), 16.0)
        rows, columns = head.sum((0, 2)).astype(np.float64), head.sum((0, 1)).astype(np.float64)
        squareness = math.sqrt(spacing[1] / spacing[2])
        pixel = math.sqrt(area / self.head_area)
        return Placement(
            shape=volume.shape[1:],
            grid=self.grid,
            centre=(_centre(rows), _centre(columns)),
            step=(pixel / squareness, pixel * squareness),
            dark=dark,
            unit=max(float(np.median(volume[head])) - dark, 1e-6 * (bright - dark)),
            neighbour=max(1, round(self.neighbour_mm / spacing[0])),
        )

    def image(self, volume: NDArray[Any], placement: Placement) -> NDArray[np.float32]:
        """The volume on the network's grid, float32 (Z, *grid): 0 at the head's median, -1 in air."""
        relative = (np.asarray(volume, np.float32) - placement.dark) / placement.unit
        np.clip(relative, 0.0, self.brightest, out=relative)
        return np.asarray(placement.to_grid(relative) - 1, np.float32)

    def stack(self, image: NDArray[Real], indices: NDArray[np.intp], neighbour: int) -> NDArray[Real]:
        """Slices of a prepared image with their neighbours, (N, channels, *grid); the end slices repeat."""
        offsets = neighbour * np.arange(-self.neighbours, self.neighbours + 1)
        stacked: NDArray[Real] = image[np.clip(indices[:, None] + offsets, 0, len(image) - 1)]
        return stacked


@dataclass(frozen=True)
class Placement:
    """Where the network's grid lies in one volume's plane, and what brightness means there.

    shape, grid: (rows, columns) of the volume's slices and of the network's input.
    centre: the head's centre in pixels of the volume, (y, x).
    step: pixels of the volume from one pixel of the grid to the next, (y, x).
    dark, unit: the value of air, and from there to the head's median.
    neighbour: slices from a slice to its neighbour channel.
    """

    shape: tuple[int, int]
    grid: tuple[int, int]
    centre: tuple[float, float]
    step: tuple[float, float]
    dark: float
    unit: float
    neighbour: int

    def to_grid(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """(Z, *shape) to (Z, *grid), by linear interpolation (averaging where the grid is coarser); 0 outside."""
        rows, columns = (resampling(self.grid[axis], self.shape[axis], *self._onto_grid(axis)) for axis in (0, 1))
        return np.asarray(rows @ volume @ columns.T, np.float32)

    def from_grid(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """(Z, *grid) back to (Z, *shape), by the same interpolation; 0 where the grid didn't reach."""
        rows, columns = (resampling(self.shape[axis], self.grid[axis], *self._off_grid(axis)) for axis in (0, 1))
        return np.asarray(rows @ volume @ columns.T, np.float32)

    def _onto_grid(self, axis: int) -> tuple[float, float]:
        step = self.step[axis]
        return self.centre[axis] - step * (self.grid[axis] - 1) / 2, step

    def _off_grid(self, axis: int) -> tuple[float, float]:
        start, step = self._onto_grid(axis)
        return -start / step, 1 / step


def resampling(targets: int, sources: int, start: float, step: float) -> NDArray[np.float32]:
    """The matrix (targets, sources) that samples at start, start + step, … by a triangle max(1, step) wide."""
    position = start + step * np.arange(targets)[:, None]
    width = max(1.0, step)
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(sources)[None, :] - position) / width)
    # The whole triangle, with what lies beyond the image, so that the border fades instead of being stretched.
    beyond = np.arange(-math.ceil(width), sources + math.ceil(width))[None, :]
    whole = np.maximum(0.0, 1.0 - np.abs(beyond - position) / width).sum(1, keepdims=True)
    return np.asarray(weights / np.where(whole > 0, whole, 1.0), np.float32)


def _centre(profile: NDArray[np.float64]) -> float:
    return float((profile * np.arange(len(profile))).sum() / max(profile.sum(), 1.0))


def _check_image(image: NDArray[Any], spacing: tuple[float, float, float]) -> None:
    if image.ndim != 3 or 0 in image.shape:
        raise CaseRefused("not-a-volume", f"the image has shape {image.shape}, not (slices, rows, columns)")
    if image.dtype.kind not in "iufb":
        raise CaseRefused("wrong-type", f"the image holds {image.dtype}, not real numbers")
    if not np.isfinite(image).all():
        raise CaseRefused("not-finite", "the image holds NaN or infinity")
    if len(spacing) != 3 or not all(math.isfinite(mm) and mm > 0 for mm in spacing):
        raise CaseRefused("wrong-spacing", f"the spacing {spacing} is not three numbers of millimetres above 0")
