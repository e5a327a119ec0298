"""Finished models as a hospital brings them: tiny ones, with the descriptions that people would write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wardround.learning.bundle import bundle_digest, read_bundle
from wardround.learning.finished import wrap

SAID: dict[str, Any] = {
    "name": "bright-parts",
    "version": "2.1",
    "description": "Outlines what is bright.",
    "authors": "A maker",
    "copyright": "Theirs",
}
VOLUME = {"kind": "volume", "patch": [4, 16, 16], "brightness": {"low": 0, "high": 1000}}


def onnx_file(
    file: Path, *, weight: float = 1.0, bias: float = -0.5, sigmoid: bool = False, inputs: int = 1, elsewhere: str = ""
) -> Path:
    """A network of one weight: what is brighter than half of it is marked.

    Args:
        elsewhere: a file that it says its weight is in.
    """
    from onnx import TensorProto, helper, numpy_helper

    axes = [1, 1, 4, 16, 16]
    nodes = [
        helper.make_node("Mul", ["x", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["y" if not sigmoid else "logits"]),
        *([helper.make_node("Sigmoid", ["logits"], ["y"])] if sigmoid else []),
    ]
    named = ["x", *(f"more{number}" for number in range(inputs - 1))]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in named],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
        [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in (("weight", weight), ("bias", bias))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if elsewhere:
        held = model.graph.initializer[0]
        held.ClearField("raw_data")
        held.data_location = TensorProto.EXTERNAL
        told = held.external_data.add()
        told.key, told.value = "location", elsewhere
    file.write_bytes(model.SerializeToString())
    return file


OUTLINER = """
import os, sys
from pathlib import Path
import numpy as np, pydicom
from wardround.dicom.segmentation import write_segmentation
from wardround.dicom.volume import read_volume

slices = sorted(Path(os.environ["HOLOSCAN_INPUT_PATH"]).iterdir())
image = read_volume(slices).array
made = write_segmentation(slices, image > 500, model_name="m", model_version="1")
Path(os.environ["HOLOSCAN_OUTPUT_PATH"], "found.dcm").write_bytes(made)
"""


def program(folder: Path, text: str = OUTLINER, name: str = "main.py") -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    return folder


def package(folder: Path, source: Path, **said: Any) -> tuple[Path, str]:
    """A package of a finished model, and its digest."""
    wrap(source, {**SAID, **said}, folder)
    read_bundle(folder)
    return folder, bundle_digest(folder)
