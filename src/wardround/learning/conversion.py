"""Makes of a package's network what OpenVINO runs, and keeps it. Needs torch and MONAI."""

from __future__ import annotations

from pathlib import Path

import torch

from wardround.learning import network
from wardround.learning.bundle import load_bundle
from wardround.learning.openvino_network import keep
from wardround.learning.prediction import input_shape
from wardround.learning.runtime import check_input, converted, reference_of


def convert(package: Path, folder: Path, digest: str) -> None:
    """Keep a package's network in a folder, with what PyTorch made of the input by which it is checked.

    Args:
        digest: of the package.

    Raises:
        RuntimeError: it can't be converted, or its weights aren't this network's.
        OSError: it can't be kept there.
    """
    bundle, arrays = load_bundle(package)
    shape = input_shape(bundle)
    if shape is None:
        raise RuntimeError("rows of records aren't read by what is kept")
    module = network.built_for(bundle).eval()
    network.load_weights(module, arrays)
    sample = check_input(shape)
    model = converted(module, sample)
    with torch.inference_mode():
        reference = module(sample)
    keep(folder, model, digest, sample.numpy(), reference.numpy(), reference_of(module))
