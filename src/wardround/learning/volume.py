"""How whole volumes are brought to the axes, voxels and values that a network was made for, and its answer back.

Arrays here are (Z, Y, X) as `Case` has them: slices to the head, rows to the back, columns to the patient's left. A
network's own axes are told as MONAI does, by the direction in which each one grows: ours are `SPL`, and `RAS`, the
usual one of MONAI's bundles, is columns to the right, rows to the front, slices to the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.learning.case import resampling
from wardround.learning.fact import finite

_AXIS = {"S": 0, "I": 0, "P": 1, "A": 1, "L": 2, "R": 2}
_TURNED = frozenset("IAR")
LARGEST_PATCH = 512
_ROWS = 16
"""Of a resampled axis, at once."""


@dataclass(frozen=True)
class Brightness:
    """From `low` to `high` the values become 0 to 1 and are cut there; without these the mean becomes 0 and the
    deviation 1, of the voxels that aren't 0 where `nonzero` says so."""

    low: float | None = None
    high: float | None = None
    nonzero: bool = False

    def of(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.low is not None and self.high is not None:
            return np.asarray(np.clip((volume - self.low) / (self.high - self.low), 0.0, 1.0), np.float32)
        counted = volume != 0 if self.nonzero else np.ones(volume.shape, bool)
        if not counted.any():
            return np.zeros_like(volume)
        mean, spread = float(volume[counted].mean()), max(float(volume[counted].std()), 1e-6)
        return np.asarray(np.where(counted, (volume - mean) / spread, 0.0), np.float32)


@dataclass(frozen=True)
class VolumePreparation:
    """Part of a model package, since weights rest on it.

    patch: voxels along the network's axes of what enters it at once.
    spacing: millimetres along the same axes; None leaves a volume's voxels as they are.
    axes: three letters, see the module.
    """

    patch: tuple[int, int, int]
    spacing: tuple[float, float, float] | None = None
    axes: str = "SPL"
    brightness: Brightness = Brightness()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> VolumePreparation:
        """From the `preparation` of a bundle. Raises `ValueError` where it isn't one."""
        if unknown := sorted(values.keys() - {"kind", "patch", "spacing", "axes", "brightness"}):
            raise ValueError(f"preparation holds unknown names: {', '.join(unknown)}")
        patch: Any = values.get("patch")
        if not _three(patch) or not all(isinstance(n, int) and 0 < n <= LARGEST_PATCH for n in patch):
            raise ValueError(f"preparation.patch is not three whole numbers from 1 to {LARGEST_PATCH}")
        spacing: Any = values.get("spacing")
        if spacing is not None and (
            not _three(spacing) or not all(0.05 <= finite(mm, "spacing") <= 50 for mm in spacing)
        ):
            raise ValueError("preparation.spacing is not three numbers of millimetres from 0.05 to 50")
        axes = values.get("axes", "SPL")
        if not isinstance(axes, str) or sorted(_AXIS.get(letter, 9) for letter in axes) != [0, 1, 2]:
            raise ValueError("preparation.axes is not three letters, one of S and I, of A and P, of L and R")
        return cls(
            patch=(int(patch[0]), int(patch[1]), int(patch[2])),
            spacing=None if spacing is None else (float(spacing[0]), float(spacing[1]), float(spacing[2])),
            axes=axes,
            brightness=_brightness(values.get("brightness", {})),
        )

    def image(self, volume: NDArray[Any], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
        """A volume (Z, Y, X) on the network's axes and voxels, with its values."""
        return self.brightness.of(self.to_network(np.asarray(volume, np.float32), spacing))

    def to_network(self, volume: NDArray[np.float32], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
        """A volume (Z, Y, X) on the network's axes and voxels, by linear interpolation."""
        order = [_AXIS[letter] for letter in self.axes]
        turned = np.transpose(volume, order)
        turned = np.flip(turned, self._turned)
        for place, count in enumerate(self._counts(volume.shape, spacing)):
            turned = _along(turned, place, count, self._step(place, spacing))
        return np.ascontiguousarray(turned, np.float32)

    def mask_from_network(
        self, found: NDArray[np.float32], threshold: float, shape: tuple[int, ...], spacing: tuple[float, float, float]
    ) -> NDArray[np.bool_]:
        """Where what a network found, values from 0 on, is at least `threshold` on a volume's own grid (Z, Y, X) of
        that shape, by linear interpolation; only the part of it in which that can be is looked at.

        Args:
            threshold: above 0.
        """
        mask, reached = np.zeros(shape, bool), found >= threshold
        order, box, matrices = [_AXIS[letter] for letter in self.axes], [slice(0)] * 3, []
        for place, axis in enumerate(order):
            others = tuple(other for other in range(3) if other != place)
            marked = reached.any(axis=others)
            matrix = resampling(shape[axis], found.shape[place], 0.0, 1 / self._step(place, spacing))
            # A mean of values below the threshold is below it: a row that reaches none of them can't get there.
            rows = np.flatnonzero(matrix[:, marked].any(axis=1))
            if not len(rows):
                return mask
            inside = slice(int(rows[0]), int(rows[-1]) + 1)
            matrices.append(matrix[inside])
            count = shape[axis]
            turned = place in self._turned
            box[axis] = slice(count - inside.stop, count - inside.start) if turned else inside
        part = found
        for place, matrix in enumerate(matrices):
            part = np.moveaxis(np.tensordot(matrix, part, (1, place)), 0, place)
        part = np.transpose(np.flip(part, self._turned), np.argsort(order))
        mask[tuple(box)] = part >= threshold
        return mask

    def centred(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The middle of an image on the network's axes, as large as `patch`; 0 where the image doesn't reach."""
        return cut(image, [(have - want) // 2 for have, want in zip(image.shape, self.patch, strict=True)], self.patch)

    @property
    def _turned(self) -> tuple[int, ...]:
        return tuple(place for place, letter in enumerate(self.axes) if letter in _TURNED)

    def _step(self, place: int, spacing: tuple[float, float, float]) -> float:
        return 1.0 if self.spacing is None else self.spacing[place] / spacing[_AXIS[self.axes[place]]]

    def _counts(self, shape: tuple[int, ...], spacing: tuple[float, float, float]) -> list[int]:
        order = [_AXIS[letter] for letter in self.axes]
        return [max(1, round(shape[axis] / self._step(place, spacing))) for place, axis in enumerate(order)]


def cut(image: NDArray[np.float32], start: list[int], extent: tuple[int, ...]) -> NDArray[np.float32]:
    """A box out of an image, from `start`, which may lie outside; 0 where the image doesn't reach."""
    made = np.zeros(extent, np.float32)
    source = tuple(
        slice(max(a, 0), max(min(a + n, have), 0)) for a, n, have in zip(start, extent, image.shape, strict=True)
    )
    place = tuple(slice(max(-a, 0), max(-a, 0) + part.stop - part.start) for a, part in zip(start, source, strict=True))
    if all(part.stop > part.start for part in source):
        made[place] = image[source]
    return made


def _along(volume: NDArray[np.float32], axis: int, count: int, step: float) -> NDArray[np.float32]:
    if step == 1.0 and count == volume.shape[axis]:
        return volume
    matrix = resampling(count, volume.shape[axis], 0.0, step)
    made = np.empty((*volume.shape[:axis], count, *volume.shape[axis + 1 :]), np.float32)
    # A row of the matrix has its few weights side by side: of a CT most of the whole product would be with noughts.
    for start in range(0, count, _ROWS):
        rows = matrix[start : start + _ROWS]
        used = np.flatnonzero(rows.any(axis=0))
        source = slice(int(used.min(initial=volume.shape[axis] - 1)), int(used.max(initial=0)) + 1)
        weights, end = rows[:, source], start + len(rows)
        if axis == 0:
            np.matmul(weights, volume[source].reshape(weights.shape[1], -1), out=made[start:end].reshape(len(rows), -1))
        elif axis == 1:
            np.matmul(weights, volume[:, source], out=made[:, start:end])
        else:
            np.matmul(volume[:, :, source], weights.T, out=made[:, :, start:end])
    return made


def _three(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 3


def _brightness(values: Any) -> Brightness:
    if not isinstance(values, Mapping) or values.keys() - {"low", "high", "nonzero"}:
        raise ValueError("preparation.brightness is not an object of low, high and nonzero")
    nonzero = values.get("nonzero", False)
    if not isinstance(nonzero, bool) or ("low" in values) is not ("high" in values):
        raise ValueError("preparation.brightness has low and high, or neither; nonzero is true or false")
    if "low" not in values:
        return Brightness(nonzero=nonzero)
    low, high = finite(values["low"], "low"), finite(values["high"], "high")
    if low >= high:
        raise ValueError("preparation.brightness.low isn't below high")
    return Brightness(low, high, nonzero)
