"""What of a network is said to OpenVINO in other operations than it was written in, float32 all the same.

OpenVINO adds up the places of a volume one after the other where it normalises an instance, which in float32 costs
three digits over a million of them: enough to decide some places otherwise than PyTorch does. Here means are taken in
stages, small blocks first, as pairwise summation has it (Higham, The Accuracy of Floating Point Summation, 1993).

A convolution of tensors that were joined is the sum of a convolution of each. So nobody joins them, which is work for
the memory alone, and more of it than for the convolution where volumes are large.

A transposed convolution that doubles each axis leaves most lanes idle where it makes few channels. It is the same as a
convolution that makes each phase of the result as channels of its own, put side by side afterwards (Shi et al.,
Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network, 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANY = 4096
"""Places in a channel from which on the order of adding up matters."""
FEW = 8
"""Channels up to which a transposed convolution is worth another form."""
_TAPS: dict[int, dict[int, int]] = {0: {0: 1}, 1: {0: 2, 1: 0}}
"""Of each phase of a doubled axis: which of the kernel's three taps falls on the place itself, which on the next."""


def rewrite(model: Any) -> None:
    """Put other operations in the place of those named above. What isn't of the form that is known here stays.

    Args:
        model: OpenVINO's, changed in place; every axis but the first is fixed.
    """
    passes: Any = import_module("openvino.passes")
    folding = passes.Manager()
    folding.register_pass(passes.ConstantFolding())
    folding.run_passes(model)
    for node in model.get_ordered_ops():
        form = _FORMS.get(node.get_type_name())
        made = form(node) if form else None
        if made is not None:
            made.set_friendly_name(node.get_friendly_name())
            node.output(0).replace(made.output(0))
    model.validate_nodes_and_infer_types()


def _normalised(node: Any) -> Any:
    """(x - mean) / sqrt(variance + eps) over all axes of space of (N, C, H, W) or (N, C, D, H, W)."""
    from openvino import opset13 as op

    inputs, said = node.input_value(0), node.get_attributes()
    shape, axes = inputs.get_partial_shape(), _constant(node.input_value(1))
    rank = len(shape)
    space = list(range(2, rank))
    if rank not in (4, 5) or axes is None or sorted(int(axis) % rank for axis in np.ravel(axes)) != space:
        return None
    extents = [shape[axis].get_length() for axis in space]
    if np.prod(extents) < MANY or not said["normalize_variance"] or said["eps_mode"].upper() != "INSIDE_SQRT":
        return None
    mean = _mean(inputs, extents)
    apart = op.subtract(inputs, mean)
    variance = _mean(op.multiply(apart, apart), extents)
    scale = op.divide(np.float32(1), op.sqrt(op.add(variance, np.float32(said["eps"]))))
    # Not `apart` times the scale: that one needn't be kept until here.
    return op.subtract(op.multiply(inputs, scale), op.multiply(mean, scale))


def _mean(inputs: Any, extents: list[int]) -> Any:
    """Over all axes of space, in stages of blocks: of the most places up to eight that divide an axis, else of all."""
    from openvino import opset13 as op

    none = [0] * len(extents)
    while max(extents) > 1:
        block = [next((size for size in range(8, 1, -1) if extent % size == 0), extent) for extent in extents]
        inputs = op.avg_pool(inputs, block, none, none, block, exclude_pad=True)
        extents = [extent // size for extent, size in zip(extents, block, strict=True)]
    return inputs


def _apart(node: Any) -> Any:
    """A convolution of what was joined by channels for it alone."""
    from openvino import opset13 as op

    joined, weights, said = node.input_value(0).get_node(), _constant(node.input_value(1)), node.get_attributes()
    if joined.get_type_name() != "Concat" or weights is None or len(joined.output(0).get_target_inputs()) > 1:
        return None
    if joined.get_attributes()["axis"] % weights.ndim != 1 or said["auto_pad"].upper() != "EXPLICIT":
        return None
    form = [said[name] for name in ("strides", "pads_begin", "pads_end", "dilations")]
    parts = joined.input_values()
    ends = np.cumsum([part.get_partial_shape()[1].get_length() for part in parts])
    shares = np.split(weights, ends[:-1], axis=1)
    return reduce(
        op.add, [op.convolution(part, op.constant(share), *form) for part, share in zip(parts, shares, strict=True)]
    )


def _doubled(node: Any) -> Any:
    """A transposed convolution of kernel 3, stride 2, padding 1 and output padding 1 on each axis, to few channels."""
    from openvino import opset13 as op

    said, weights = node.get_attributes(), _constant(node.input_value(1))
    if weights is None or node.get_input_size() != 2:
        return None
    axes = weights.ndim - 2
    form = {"strides": 2, "dilations": 1, "pads_begin": 1, "pads_end": 1, "output_padding": 1}
    if weights.shape[2:] != (3,) * axes or any(list(said[name]) != [value] * axes for name, value in form.items()):
        return None
    if said["auto_pad"].upper() != "EXPLICIT" or weights.shape[1] > FEW:
        return None
    one, none = [1] * axes, [0] * axes
    phases = op.convolution(node.input_value(0), op.constant(_phases(weights)), one, none, one, one)
    return op.depth_to_space(phases, "depth_first", 2)


def _phases(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights (inputs, outputs, 3, …) of a transposed convolution, as those (outputs times phases, inputs, 2, …) of the
    convolution that makes its phases."""
    inputs, outputs, axes = weights.shape[0], weights.shape[1], weights.ndim - 2
    both = (2,) * axes
    made = np.zeros((outputs, *both, inputs, *both), np.float32)
    for phase, place in product(product((0, 1), repeat=axes), repeat=2):
        taps = [_TAPS[of].get(at) for of, at in zip(phase, place, strict=True)]
        if None not in taps:
            here: tuple[Any, ...] = (slice(None), *phase, slice(None), *place)
            there: tuple[Any, ...] = (slice(None), slice(None), *taps)
            made[here] = weights[there].T
    return made.reshape(outputs * 2**axes, inputs, *both)


def _constant(value: Any) -> NDArray[Any] | None:
    node = value.get_node()
    return np.asarray(node.get_data()) if node.get_type_name() == "Constant" else None


_FORMS: dict[str, Callable[[Any], Any]] = {
    "MVN": _normalised,
    "Convolution": _apart,
    "ConvolutionBackpropData": _doubled,
}
