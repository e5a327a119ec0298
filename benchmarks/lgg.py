"""Gliomas of four hospitals (LGG, The Cancer Imaging Archive), outlined by models of one place, alone and together.

Every model is the glioma package, trained for the same number of rounds and steps from the same first weights; in one
place it takes as many steps as all hospitals together. A quarter of each hospital's patients is held out from every
model, by the split that a node makes; each row is Dice per hospital over those, plain means over patients, then mean
and standard deviation over seeds. "All" is over all held-out patients.

Our own row is the federated setting in `OURS`. What was finished is kept in a folder, and so is each whole round of
what was not: a benchmark that was stopped goes on where it was, and prints what it has. `--quick` is one seed with few
rounds, enough to see that every row works; it says little of which is best, and no target is judged by it.

Run as `python benchmarks/lgg.py [--quick] [--json FILE] [--data FOLDER] [--work FOLDER] [--arms NAME ...]`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

import torch
from _bench import machine
from _lgg import Parts, in_one_place, mean, plan_of, read, together

from wardround.contracts.algorithm import Algorithm, Cyclic, Ditto, FedAdam, FedAvg, FedBN, FedProx, Scaffold
from wardround.foundation.files import write_whole
from wardround.learning.bundle import bundle_digest, packaged, read_bundle
from wardround.learning.score import DataRefused

DATA = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "lgg-mri"
WORK = Path(tempfile.gettempdir()) / "wardround-lgg"
SEEDS = (1, 2, 3)
NEAR = 0.01
POOLED = "pooled"

TOGETHER: dict[str, Algorithm] = {
    "fedavg": FedAvg(),
    "fedprox": FedProx(mu=0.01),
    "fedbn": FedBN(),
    "scaffold": Scaffold(),
    "ditto": Ditto(),
    "fedadam": FedAdam(server_rate=0.003),
    "cyclic": Cyclic(),
}
OURS = "fedavg"
"""Of those that a plan can name. Chosen before anything was measured, as the one without a number to tune."""

USUAL = (POOLED, "alone", "fedavg", "fedprox", "fedbn")


@dataclass(frozen=True)
class Size:
    """Of every run. `patients`: of each hospital at most."""

    rounds: int
    steps: int
    seeds: tuple[int, ...]
    patients: int | None = None


Found = dict[str, dict[str, dict[str, float]]]
"""By row, then by hospital, the Dice of each held-out patient."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--data", type=Path, metavar="FOLDER", default=DATA, help="a folder per hospital")
    parser.add_argument("--work", type=Path, metavar="FOLDER", default=WORK, help="what is kept between calls")
    parser.add_argument("--arms", nargs="+", choices=(POOLED, "alone", *TOGETHER), default=USUAL, help="which rows")
    parser.add_argument("--rounds", type=int, help="other than the setting's own")
    parser.add_argument("--steps", type=int, help="of each hospital in a round, other than the setting's own")
    parser.add_argument("--patients", type=int, help="of each hospital at most")
    options = parser.parse_args(arguments)
    setting = read_bundle(packaged()).setting()
    size = Size(
        rounds=options.rounds or (6 if options.quick else setting.rounds),
        steps=options.steps or (16 if options.quick else setting.local_steps),
        seeds=SEEDS[:1] if options.quick else SEEDS,
        patients=options.patients,
    )
    torch.set_num_threads(1)
    began, done = machine(), dict[str, list[Found]]()
    for seed in size.seeds:
        try:
            hospitals = read(options.data, seed, size.patients)
        except DataRefused as error:
            print(f"skipped: {error}; give the folder with --data")
            return 0
        for arm in options.arms:
            print(f"seed {seed}, {arm}", flush=True)
            done.setdefault(arm, []).append(kept(arm, seed, size, hospitals, options.work))
            rows = list(table(done, judge=size == Size(setting.rounds, setting.local_steps, SEEDS)))
            show(rows, sorted(hospitals))
    print(f"{began} to {machine()}")
    if options.json:
        told = {"machine": machine(), "rounds": size.rounds, "steps": size.steps, "seeds": size.seeds, "rows": rows}
        options.json.write_text(json.dumps(told, indent=2))
    return 0


def kept(arm: str, seed: int, size: Size, hospitals: Mapping[str, Parts], work: Path) -> Found:
    """What an arm came to with a seed: from an earlier call where that was of the very same, else trained now."""
    of = f"{bundle_digest(packaged())[:12]}-{size.rounds}x{size.steps}-{size.patients or 'all'}"
    folder = work / of / f"{arm}-{seed}"
    result = folder / "result.json"
    if not result.exists():
        write_whole(result, json.dumps(trained(arm, seed, size, hospitals, folder)).encode())
    found: Found = json.loads(result.read_text())
    return found


def trained(arm: str, seed: int, size: Size, hospitals: Mapping[str, Parts], folder: Path) -> Found:
    everybody = [case for parts in hospitals.values() for case in parts.training]
    if arm == POOLED:
        steps = size.steps * len(hospitals)
        return {"pooled": in_one_place(POOLED, everybody, size.rounds, steps, seed, hospitals, folder)}
    if arm == "alone":
        return {
            f"{site} alone": in_one_place(site, parts.training, size.rounds, size.steps, seed, hospitals, folder / site)
            for site, parts in hospitals.items()
        }
    plan = plan_of(TOGETHER[arm], size.rounds, size.steps, seed, len(hospitals))
    return {arm + model: one for model, one in together(plan, hospitals, folder).items()}


def table(done: Mapping[str, Sequence[Found]], *, judge: bool) -> Iterator[dict[str, object]]:
    """A row for each model over the seeds so far; for the models trained alone also one of each at its own hospital.

    `judge`: whether targets are judged, which only the whole benchmark is for.
    """
    pooled = overall(found["pooled"] for found in done.get(POOLED, ()))
    for arm, seeds in done.items():
        for name in seeds[0]:
            yield row(name, [found[name] for found in seeds], pooled, ours=arm == OURS and judge)
        if arm == "alone":
            yield row("each alone, at its own hospital", at_home(seeds), pooled, ours=False)


def at_home(seeds: Sequence[Found]) -> list[dict[str, dict[str, float]]]:
    sites = [name.removesuffix(" alone") for name in seeds[0]]
    return [{site: found[f"{site} alone"][site] for site in sites} for found in seeds]


def overall(seeds: Iterator[dict[str, dict[str, float]]]) -> float | None:
    means = [mean(value for found in judged.values() for value in found.values()) for judged in seeds]
    return mean(means) if means else None


def row(
    name: str, seeds: Sequence[dict[str, dict[str, float]]], pooled: float | None, *, ours: bool
) -> dict[str, object]:
    means = [mean(value for found in judged.values() for value in found.values()) for judged in seeds]
    reached = mean(means)
    met = None if not ours or pooled is None else reached >= pooled * (1 - NEAR)
    return {
        "name": f"ours: {name}" if ours else name,
        "ours": round(reached, 4),
        "spread": round(stdev(means), 4) if len(means) > 1 else 0.0,
        "seeds": len(means),
        "hospitals": {site: round(mean(mean(one[site].values()) for one in seeds), 4) for site in sorted(seeds[0])},
        "peers": {} if pooled is None else {"pooled": round(pooled, 4)},
        "target": f"within {NEAR:.0%} of pooled" if ours else "",
        "met": met,
        "unit": "Dice",
    }


def show(rows: Sequence[dict[str, object]], sites: Sequence[str]) -> None:
    print(f"{'':64}{'all':>17}" + "".join(f"{site:>8}" for site in sites))
    for one in rows:
        hospitals: Any = one["hospitals"]
        verdict = "" if one["met"] is None else "  met" if one["met"] else "  NOT met"
        told = "".join(f"{hospitals[site]:8.3f}" for site in sites)
        print(f"{one['name']:64}{one['ours']:>8.4f} ± {one['spread']:.4f}{told}{verdict}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
