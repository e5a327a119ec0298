"""Seconds per volume on a CPU: eager PyTorch, ONNX Runtime, OpenVINO, and ours (`wardround.learning.runtime`).

Three networks of MONAI with fresh weights and one input of 128 x 128 x 96 in float32; the runtimes take turns, and
medians are told. Decisions are held against those of eager PyTorch. Needs `onnx` and `onnxruntime` (the extra `bench`).

    python benchmarks/inference.py [--quick] [--json FILE] [--threads N]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _bench import machine

from wardround.learning.agreement import AGREES, Agreement, agreement
from wardround.learning.runtime import Fastest, check_input, compiled

SHAPE, QUICK_SHAPE = (1, 1, 128, 128, 96), (1, 1, 64, 64, 48)
REPEATS, QUICK_REPEATS = 7, 3
TARGET = 2.0
"""Times as fast as eager."""
Run = Callable[[torch.Tensor], torch.Tensor]


def networks() -> dict[str, torch.nn.Module]:
    from monai.networks.nets import DynUNet, SegResNet, UNet

    torch.manual_seed(0)
    return {
        "UNet": UNet(3, 1, 2, channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=2).eval(),
        "DynUNet": DynUNet(3, 1, 2, kernel_size=[3] * 4, strides=[1, 2, 2, 2], upsample_kernel_size=[2] * 3).eval(),
        "SegResNet": SegResNet(3, init_filters=8, in_channels=1, out_channels=2).eval(),
    }


def onnx_runtime(module: torch.nn.Module, sample: torch.Tensor, threads: int) -> Run:
    import onnxruntime

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (sample,), file, input_names=["x"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(None, {"x": inputs.numpy()})[0])


def as_it_comes(module: torch.nn.Module, sample: torch.Tensor, threads: int) -> Run:
    """OpenVINO without what we say in other operations."""
    with patch("wardround.learning.openvino_network.rewrite"):
        return compiled(module, sample, threads)[0]


def rows_of(network: str, medians: dict[str, float], agreed: dict[str, Agreement], said: str) -> list[dict[str, Any]]:
    """A network's seconds, and how its decisions and numbers compare with those of eager PyTorch."""
    argmax = {who: found.argmax for who, found in agreed.items() if who != "eager"}
    difference = {who: found.difference for who, found in agreed.items() if who != "eager"}
    target = medians["eager"] / TARGET
    return [
        row(f"{network}: a volume", medians, "s", target, met=medians["ours"] <= target) | {"said": said},
        row(f"{network}: decisions like eager's", argmax, "share", AGREES, met=agreed["ours"].enough),
        row(f"{network}: largest difference from eager", difference, "logit", None, met=None),
    ]


def row(name: str, values: dict[str, float], unit: str, target: float | None, *, met: bool | None) -> dict[str, Any]:
    peers = {who: value for who, value in values.items() if who != "ours"}
    return {"name": name, "ours": values["ours"], "peers": peers, "target": target, "met": met, "unit": unit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    shape, repeats = (QUICK_SHAPE, QUICK_REPEATS) if chosen.quick else (SHAPE, REPEATS)
    sample = check_input(shape)
    rows: list[dict[str, Any]] = []
    print(f"{machine()}; {'x'.join(map(str, shape[2:]))}, float32, {chosen.threads} threads, median of {repeats}")
    print(f"{'network':<10} {'runtime':<14} {'s/volume':>9} {'x eager':>8} {'argmax':>9} {'largest difference':>19}")
    for name, module in networks().items():
        fastest = Fastest(module, chosen.threads)
        runs: dict[str, Run] = {
            "eager": module,
            "ONNX Runtime": onnx_runtime(module, sample, chosen.threads),
            "OpenVINO": as_it_comes(module, sample, chosen.threads),
            "ours": fastest,
        }
        with torch.inference_mode():
            outputs = {who: run(sample).clone() for who, run in runs.items()}
            times: dict[str, list[float]] = {who: [] for who in runs}
            for _ in range(repeats):
                for who, run in runs.items():
                    began = time.perf_counter()
                    run(sample)
                    times[who].append(time.perf_counter() - began)
        medians = {who: statistics.median(taken) for who, taken in times.items()}
        agreed = {who: agreement(output, outputs["eager"]) for who, output in outputs.items()}
        for who, median in medians.items():
            found, faster = agreed[who], medians["eager"] / median
            print(f"{name:<10} {who:<14} {median:>9.3f} {faster:>8.2f} {found.argmax:>9.6f} {found.difference:>19.1e}")
        judged = rows_of(name, medians, agreed, fastest.said)
        rows += judged
        met = all(one["met"] for one in judged if one["met"] is not None)
        print(
            f"{'':<10} {fastest.said}; target of {TARGET:g} x eager and argmax {AGREES}: {'met' if met else 'MISSED'}"
        )
    print(f"{machine()} at the end")
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine(), "shape": shape, "rows": rows}, indent=1))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
