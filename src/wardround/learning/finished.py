"""Models that come finished, which a hospital bought or built elsewhere: an ONNX file, or a program.

Either is a model package like any other, with a digest, evidence and stages, whose `network_def` says which it is:

- `{"_target_": "onnx", "outputs": "logits"}` with `models/model.onnx` (ONNX, https://onnx.ai): one input and one output
  in float32, of the preparation's axes; `outputs` may be `probabilities`.
- `{"_target_": "program", "command": ["python", "main.py"], "modality": "CT"}` with the folder `program`. It takes a
  folder and leaves a folder, as a MONAI Application Package does (https://docs.monai.io/projects/monai-deploy-app-sdk),
  and runs in a jail alone (`compute.program`).

Neither is trained here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wardround.foundation.files import write_whole
from wardround.learning.parts import AnyPreparation, BundleRefused
from wardround.learning.table import TablePreparation

ONNX, PROGRAM = "onnx", "program"
FINISHED = frozenset({ONNX, PROGRAM})
ONNX_FILE = Path("models") / "model.onnx"
OUTPUTS = ("logits", "probabilities")
MODALITIES = ("CT", "MR", "PT")
_ABOUT = frozenset({"name", "version", "description", "authors", "copyright", "intended_use"})
_LONGEST = 16
_KEYS = {ONNX: frozenset({"_target_", "outputs"}), PROGRAM: frozenset({"_target_", "command", "modality"})}


def is_finished(network: Mapping[str, Any]) -> bool:
    """Whether a package's network is one of the two."""
    return network.get("_target_") in FINISHED


def check_finished(directory: Path, network: Mapping[str, Any], preparation: AnyPreparation, weights: bool) -> None:
    """Whether a package of a finished model is whole. What the ONNX file holds is looked at where it is loaded.

    Raises:
        BundleRefused: `wrong-network`, `incomplete`; `wrong-config`, it reads records, or brings other weights.
    """
    form = network["_target_"]
    if unknown := sorted(network.keys() - _KEYS[form]):
        raise BundleRefused("wrong-network", f"network_def: unknown names {', '.join(unknown)} of a model in {form}")
    if isinstance(preparation, TablePreparation) or weights:
        raise BundleRefused("wrong-config", "a finished model reads images, and brings no model.safetensors")
    if form == ONNX:
        if not (directory / ONNX_FILE).is_file():
            raise BundleRefused("incomplete", f"the bundle has no {ONNX_FILE.as_posix()}")
        if network.get("outputs", OUTPUTS[0]) not in OUTPUTS:
            raise BundleRefused("wrong-network", f"network_def: outputs is none of {', '.join(OUTPUTS)}")
        return
    command, modality = network.get("command"), network.get("modality")
    if not (
        isinstance(command, list)
        and 0 < len(command) <= _LONGEST
        and all(isinstance(word, str) and word and "\0" not in word for word in command)
    ):
        raise BundleRefused("wrong-network", f"network_def: command is not a list of 1 to {_LONGEST} words")
    if modality not in MODALITIES:
        raise BundleRefused("wrong-network", f"network_def: modality is none of {', '.join(MODALITIES)}")
    if not (directory / PROGRAM).is_dir():
        raise BundleRefused("incomplete", f"the bundle has no folder {PROGRAM}")


def wrap(source: Path, about: Mapping[str, Any], target: Path) -> None:
    """Write a finished model as a package into a new folder; whether it is one is for `read_bundle` to say.

    Args:
        source: an ONNX file, or the folder of a program.
        about: what people say of it, as in docs/how-to/bring-a-finished-model.md: `name`, `version`, `description`,
            `authors`, `copyright`, and the tables `network`, `preparation`, `target`, `postprocessing`; `metric`.

    Raises:
        BundleRefused: `unreadable`, the source is neither; `wrong-metadata`, something isn't said.
    """
    if missing := sorted(_ABOUT - {"intended_use"} - about.keys()):
        raise BundleRefused("wrong-metadata", f"what is said of the model lacks {', '.join(missing)}")
    known = _ABOUT | {"network", "preparation", "target", "postprocessing", "metric"}
    if unknown := sorted(about.keys() - known):
        raise BundleRefused("wrong-metadata", f"unknown: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if source.is_file() and source.suffix == ".onnx":
        form, files = ONNX, {ONNX_FILE: source}
    elif source.is_dir() and not source.is_symlink():
        form = PROGRAM
        files = {Path(PROGRAM) / name: source / name for name in _plain_files(source)}
    else:
        raise BundleRefused("unreadable", f"{source.name} is neither an .onnx file nor a folder with a program")
    metadata = {name: str(about[name]) for name in _ABOUT & about.keys()}
    blank = {"monai_version": "", "pytorch_version": "", "numpy_version": "", "required_packages_version": {}}
    task = {"task": metadata["description"], "network_data_format": {}, "changelog": {}}
    # A program is handed the image as it is.
    preparation = about.get("preparation", {"kind": "volume", "patch": [1, 1, 1]} if form == PROGRAM else {})
    inference = {
        "network_def": {"_target_": form, **about.get("network", {})},
        "preparation": preparation,
        "postprocessing": about.get("postprocessing", {}),
        **({"target": about["target"]} if "target" in about else {}),
    }
    documents = {
        "metadata": {**blank, **task, **metadata},
        "inference": inference,
        "train": {"settings": {"default": {}}},
        "evaluate": {"metric": {"name": about.get("metric", "dice")}},
    }
    for name, document in documents.items():
        write_whole(target / "configs" / f"{name}.json", json.dumps(document, indent=2, sort_keys=True).encode())
    for path, file in files.items():
        write_whole(target / path, file.read_bytes())


def _plain_files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    if any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in found):
        raise BundleRefused("unreadable", f"{folder.name} holds a link, or something that is no plain file")
    return [path.relative_to(folder) for path in found if path.is_file()]
