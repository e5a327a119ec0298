"""What an attacker gets out of one update, and out of a released model, with and without each measure.

**Inversion.** An image is put together again from one step's update on one slice of one patient: the attacker has the
network, its weights and even the label. Peak signal to noise (dB) and correlation of the slice that was found with the
real one; what only another patient's slice reaches is the line below which nothing was found. A step on one slice is
the most that an update can give away; a round of real training is many steps on many patients.

**Membership.** Whom a model was trained on, told by its loss alone and beside fifteen models like it (LiRA), over the
heart disease tables and a network large enough to learn its patients by heart. 0.5 is guessing, for area and balanced
accuracy; of members found at one in a hundred false, 0.01.

Run as `python benchmarks/attacks.py [--quick] [--json FILE] [--data FOLDER]`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _bench import machine
from _heart import DATA, pooled, read
from _inversion import Attack
from _members import attacked, guarded, noisily, plainly

Row = dict[str, Any]
BELOW = "another patient's slice"
TRAINED = {
    "as it is": plainly,
    "updates cut, no noise": noisily(1.0, 0.0),
    "updates cut, hospital-level noise 0.05": noisily(1.0, 0.05),
    "patient privacy, epsilon 8": guarded(8.0),
    "patient privacy, epsilon 1": guarded(1.0),
}


def inversion(iterations: int) -> dict[str, dict[str, float]]:
    attack = Attack(seed=0, iterations=iterations)
    slices = attack.slices(4)
    found = {BELOW: asdict(attack.guess(slices))}
    print(f"\nInversion of one step's update, {iterations} iterations\n{'':34}    dB  correlation")
    for name, update in attack.updates(slices).items():
        found[name] = asdict(attack.invert(update, slices[0]))
    for name, one in found.items():
        print(f"{name:34} {one['psnr']:5.1f}  {one['correlation']:11.2f}")
    return found


def membership(folder: Path, models: int) -> dict[str, dict[str, float]]:
    hospitals = [part.standardised() for part in read(folder)]
    pool = pooled(hospitals).train
    found = {}
    print(
        f"\nMembership of {len(pool)} patients, {models} models, each trained on a half\n"
        f"{'':40}        by loss alone          beside models like it    right of\n"
        f"{'':40} area  balanced  at 1 %    area  balanced  at 1 %    the rest"
    )
    for name, train in TRAINED.items():
        alone, beside, right = attacked(train, pool, models)
        found[name] = {"right": right} | {
            f"{attack} {key}": value
            for attack, one in (("loss", alone), ("lira", beside))
            for key, value in asdict(one).items()
        }
        lines = [f"{one.auc:5.2f}  {one.balanced:8.2f}  {one.found:6.2f}" for one in (alone, beside)]
        print(f"{name:40}{lines[0]}   {lines[1]}  {right:9.2f}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer iterations and models")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of UCI's heart disease tables")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(machine())
    began = time.monotonic()
    rows = inversion_rows(inversion(60 if asked.quick else 1500))
    if asked.data.is_dir():
        rows += membership_rows(membership(asked.data, 8 if asked.quick else 32))
    else:
        print(
            f"\nMembership is left out: {asked.data} isn't there; --data names the folder of the heart disease tables"
        )
    print(f"\n{time.monotonic() - began:.0f} s; {machine()}")
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def inversion_rows(found: dict[str, dict[str, float]]) -> list[Row]:
    """Each update with a measure beside the one without; what another patient's slice reaches is no attack."""
    return [
        row(
            f"inversion, {name}: {words}",
            one[key],
            unit,
            {"as it is": found["as it is"][key], BELOW: found[BELOW][key]},
        )
        for name, one in found.items()
        if name not in ("as it is", BELOW)
        for key, words, unit in (("correlation", "correlation", ""), ("psnr", "signal to noise", "dB"))
    ]


def membership_rows(found: dict[str, dict[str, float]]) -> list[Row]:
    """Each way of training with a measure beside the one without."""
    keys = [(f"{attack} {key}", f"{key} by {attack}") for attack in ("loss", "lira") for key in ("auc", "found")]
    return [
        row(f"membership, {name}: {words}", one[key], "", {"as it is": found["as it is"][key]})
        for name, one in found.items()
        if name != "as it is"
        for key, words in [*keys, ("right", "right of the rest")]
    ]


def row(name: str, ours: float, unit: str, peers: dict[str, float]) -> Row:
    return {"name": name, "ours": ours, "peers": peers, "target": None, "met": None, "unit": unit}


if __name__ == "__main__":
    main()
