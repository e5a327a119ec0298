"""Small models for the clinic's benchmarks: a 3D network that outlines a lesion in a CT, and the glioma package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.learning.bundle import export_bundle, packaged
from wardround.learning.case import Case

_NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 1,
    "channels": [16, 32, 64, 128],
    "strides": [2, 2, 2],
    "num_res_units": 2,
    "norm": "batch",
}
_PREPARATION: dict[str, Any] = {
    "kind": "volume",
    "patch": [96, 96, 96],
    "spacing": [3.0, 3.0, 3.0],
    "brightness": {"low": -200, "high": 300},
}
_STEPS, _TRAINED_ON = 60, [16, 16, 16]


def lesion_model(target: Path, values: NDArray[np.int16], lesion: NDArray[np.bool_]) -> str:
    """Train the 3D network for some seconds on one CT; writes its package to `target`, and returns its digest."""
    from wardround.learning.kinds import learner_of

    source, small = target.with_name("lesion-source"), target.with_name("lesion-small")
    _write(source, _PREPARATION)
    _write(small, {**_PREPARATION, "patch": _TRAINED_ON})
    coarse = (slice(None, None, 3), slice(None, None, 4), slice(None, None, 4))
    case = Case("ct", values[coarse].astype(np.float32), np.ascontiguousarray(lesion[coarse]), (3.0, 2.8125, 2.8125))
    learner = learner_of(small)
    trained = learner.train(learner.initial(1), [case], steps=_STEPS, round_number=1, total_rounds=1, seed=2)
    return export_bundle(trained.arrays, target, {"name": "ct-lesion"}, package=source)


def glioma_model(target: Path) -> str:
    """The glioma package with fresh weights, which mark next to nothing; returns its digest."""
    from wardround.learning.kinds import learner_of

    return export_bundle(learner_of(packaged()).initial(3), target, {})


def _write(folder: Path, preparation: dict[str, Any]) -> None:
    (folder / "configs").mkdir(parents=True)
    setting = {"rounds": 1, "local_steps": 1, "batch_size": 4, "learning_rate": 0.01, "tumour_share": 0.5}
    documents = {
        "metadata": json.loads((packaged() / "configs/metadata.json").read_text()),
        "inference": {"network_def": _NETWORK, "preparation": preparation},
        "train": {"settings": {"default": setting}},
        "evaluate": {"metric": {"name": "dice"}},
    }
    for name, document in documents.items():
        (folder / f"configs/{name}.json").write_text(json.dumps(document))
