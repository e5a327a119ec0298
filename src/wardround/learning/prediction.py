"""What a package's network makes of a case, whatever runs the network: arrays in, arrays out, and no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wardround.learning.bundle import Bundle
from wardround.learning.case import Case, Example, Labelled, Preparation
from wardround.learning.components import without_small
from wardround.learning.fact import Target
from wardround.learning.table import Row, TablePreparation
from wardround.learning.volume import VolumePreparation, cut

if TYPE_CHECKING:
    import torch

Outputs = TypeVar("Outputs", NDArray[np.float32], "torch.Tensor")
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A batch (N, C, …) in, the network's outputs for it out."""

_SLICES_AT_ONCE = 32
_OVERLAP = 0.25
_LOWEST = -80.0
"""Of a logit; beyond it a probability in float32 is 0 in all but name."""


def input_shape(bundle: Bundle) -> tuple[int, ...] | None:
    """Of what enters the network at once, slices at the most; None of rows, which have no size worth knowing."""
    preparation = bundle.preparation
    if isinstance(preparation, Preparation):
        fold = preparation.fold
        return (_SLICES_AT_ONCE, preparation.inputs, *(extent // fold for extent in preparation.grid))
    return (1, 1, *preparation.patch) if isinstance(preparation, VolumePreparation) else None


def predict(bundle: Bundle, run: Run, case: Example) -> NDArray[Any]:
    """A mask, bool (Z, Y, X), on the case's own grid, of a package that outlines something; of any other an array of
    one number, see `told`.

    Raises:
        CaseRefused: the case can't be prepared.
    """
    if bundle.target is not None:
        output = float(run(entering(bundle, case)[None])[0, 0])
        return np.array([told(bundle.target, output)], np.float32)
    assert isinstance(case, Case)  # noqa: S101 - outlines are of images
    if isinstance(bundle.preparation, Preparation):
        return _slices(bundle, bundle.preparation, run, case)
    assert isinstance(bundle.preparation, VolumePreparation)  # noqa: S101 - and of these two kinds
    return _volume(bundle, bundle.preparation, run, case)


def entering(bundle: Bundle, case: Example) -> NDArray[np.float32]:
    """What enters the network of one person, without the axis of a batch."""
    preparation = bundle.preparation
    if isinstance(case, Row):
        assert isinstance(preparation, TablePreparation)  # noqa: S101 - `kinds.learner_of` chose by it
        return preparation.prepare(case.values)
    assert isinstance(case, Labelled) and isinstance(preparation, VolumePreparation)  # noqa: S101 - the same
    return preparation.centred(preparation.image(case.volume.image, case.volume.spacing))[None]


def told(target: Target, output: float) -> float:
    """What is told of a person: a probability, the number in its own unit, or the log of the relative hazard."""
    if target.kind == "class":
        return 1 / (1 + math.exp(-max(output, _LOWEST)))
    return output * target.scale + target.mean if target.kind == "number" else output


def logit(outputs: Outputs) -> Outputs:
    """The one logit (N, 1, …) of what a network of volumes outlines: its one output; of two (N, 2, …) the second, which
    is of what is outlined, less the first, which is of the rest."""
    return outputs if outputs.shape[1] == 1 else outputs[:, 1:] - outputs[:, :1]


def windows(image: NDArray[np.float32], patch: tuple[int, int, int], run: Run) -> NDArray[np.float32]:
    """One output for each voxel of an image (Z, Y, X), of boxes that overlap by a quarter; the mean where they do. What
    a box reaches beyond the image is 0."""
    padded = tuple(max(have, want) for have, want in zip(image.shape, patch, strict=True))
    before = [(whole - have) // 2 for whole, have in zip(padded, image.shape, strict=True)]
    image_, room = cut(image, [-one for one in before], padded), np.zeros(padded, np.float32)
    times = np.zeros(padded, np.float32)
    for start in product(*(_starts(whole, want) for whole, want in zip(padded, patch, strict=True))):
        box = tuple(slice(one, one + want) for one, want in zip(start, patch, strict=True))
        room[box] += run(np.ascontiguousarray(image_[box])[None, None])[0, 0]
        times[box] += 1
    room /= times
    return room[tuple(slice(one, one + have) for one, have in zip(before, image.shape, strict=True))]


def _starts(whole: int, patch: int) -> list[int]:
    step = max(1, int(patch * (1 - _OVERLAP)))
    return [min(place, whole - patch) for place in range(0, max(whole - patch, 0) + step, step)]


def _volume(bundle: Bundle, preparation: VolumePreparation, run: Run, case: Case) -> NDArray[np.bool_]:
    post, image = bundle.postprocessing, preparation.image(case.image, case.spacing)
    found = _probability(windows(image, preparation.patch, lambda inputs: logit(run(inputs))))
    if post.smallest_part > 0:
        found = found * without_small(found >= post.threshold, post.smallest_part)
    return preparation.mask_from_network(found, post.threshold, case.image.shape, case.spacing)


def _slices(bundle: Bundle, preparation: Preparation, run: Run, case: Case) -> NDArray[np.bool_]:
    post, fold = bundle.postprocessing, preparation.fold

    def probability(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return _probability(_unfolded(run(_folded(batch, fold)), fold))

    placement = preparation.place(case.image, case.spacing)
    slices = preparation.image(case.image, placement)
    found = np.empty(slices.shape, np.float32)
    for start in range(0, len(slices), _SLICES_AT_ONCE):
        indices = np.arange(start, min(start + _SLICES_AT_ONCE, len(slices)))
        batch = preparation.stack(slices, indices, placement.neighbour)
        made = probability(batch)
        if post.flip:
            made = np.float32(0.5) * (made + probability(batch[..., ::-1])[..., ::-1])
        found[indices] = made[:, 0]
    if post.smallest_part > 0:
        found *= without_small(found >= post.threshold, post.smallest_part)
    return np.asarray(placement.from_grid(found) >= post.threshold)


def _probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.maximum(logits, np.float32(_LOWEST)))), np.float32)


def _folded(batch: NDArray[np.float32], fold: int) -> NDArray[np.float32]:
    """Blocks of fold x fold pixels as channels of one, as torch's `pixel_unshuffle`."""
    count, channels, rows, columns = batch.shape
    parts = batch.reshape(count, channels, rows // fold, fold, columns // fold, fold).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(parts).reshape(count, channels * fold**2, rows // fold, columns // fold)


def _unfolded(batch: NDArray[np.float32], fold: int) -> NDArray[np.float32]:
    """As torch's `pixel_shuffle`."""
    count, channels, rows, columns = batch.shape
    parts = batch.reshape(count, channels // fold**2, fold, fold, rows, columns).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(parts).reshape(count, channels // fold**2, rows * fold, columns * fold)
