"""A network as OpenVINO has it, float32: started, and kept beside its package, so that a process reads with it that has
no PyTorch.

What is kept is the network, an input of the shape that it takes and what its reference made of that. Each time that it
is taken up it runs on that input, and how it agreed goes with the result.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.learning.agreement import Agreement, agreement
from wardround.learning.openvino_graph import rewrite
from wardround.learning.prediction import Run

_TELEMETRY = "openvino_telemetry"
_NETWORK, _WEIGHTS, _CHECK, _RECORD = "network.xml", "network.bin", "check.npz", "record.json"
VOLUME = 5
"""Axes of a volume in a batch."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """run: the network. agreed: with its reference, just now. said: in words."""

    run: Run
    agreed: Agreement
    said: str


def installed() -> bool:
    return find_spec("openvino") is not None


def package() -> Any:
    """OpenVINO itself, which counts its uses, and tells its makers, through another one; without that, it doesn't."""
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # as Python has it for what mustn't be imported
    import openvino

    return openvino


def version() -> str:
    return ".".join(package().__version__.split(".")[:2])


def shaped(model: Any, shape: tuple[int, ...]) -> Any:
    """The model for inputs of that shape. Slices come in batches of any number, patches of volumes one at a time, which
    is faster when it is fixed."""
    model.reshape([shape[0] if len(shape) == VOLUME else -1, *shape[1:]])
    rewrite(model)
    return model


def started(model: Any, threads: int) -> Run:
    """Raises `RuntimeError` where OpenVINO can't compile it."""
    hints = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY", "INFERENCE_NUM_THREADS": threads}
    network = package().Core().compile_model(model, "CPU", hints)

    def run(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array(network(np.ascontiguousarray(inputs))[0])

    return run


def keep(
    folder: Path, model: Any, digest: str, inputs: NDArray[np.float32], outputs: NDArray[np.float32], by: str
) -> None:
    """Keep a model; what was kept in that folder goes.

    Args:
        digest: of the package that it is of.
        outputs: what the reference made of `inputs`; by: which that is, in words.
    """
    aside = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        package().save_model(model, aside / _NETWORK, compress_to_fp16=False)
        np.savez(aside / _CHECK, inputs=inputs, outputs=outputs)
        record = {"package": digest, "reference": by, "files": _digests(aside)}
        (aside / _RECORD).write_text(json.dumps(record), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def take(folder: Path, digest: str, threads: int) -> Compiled | None:
    """What is kept there, started and held against its reference; None where nothing is, or not of that package, or it
    isn't whole.

    Raises:
        RuntimeError: OpenVINO can't take it.
    """
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if record["package"] != digest or record["files"] != _digests(folder):
            return None
        with np.load(folder / _CHECK, allow_pickle=False) as check:
            inputs, outputs = check["inputs"], check["outputs"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    run = started(package().Core().read_model(folder / _NETWORK), threads)
    agreed = agreement(run(inputs), outputs)
    return Compiled(run, agreed, f"OpenVINO {version()}, against {record['reference']}: {agreed.words}")


def _digests(folder: Path) -> dict[str, str]:
    """Of what is kept; a file that a crash cut short is found by it."""
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in (_NETWORK, _WEIGHTS, _CHECK)}
