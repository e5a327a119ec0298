"""What masks cost: processor time of a hospital and of the hub in one masked round, beside a plain weighted mean.

In one process and without a network, with as many hospitals as `--hospitals` says, each with an update of 30 MB; one
of them drops out before its input, as the dearest case for the hub. Medians over repetitions, each of both in turn.

Run as `python benchmarks/masking.py [--quick] [--json FILE] [--hospitals 4 10]`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
from _bench import machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.contracts.masking import MaskedRound
from wardround.learning.aggregation import WeightedMean
from wardround.learning.masking.hub import MaskingHub
from wardround.learning.masking.roster import verify_by
from wardround.learning.masking.site import MaskingSite

VALUES = 7_500_000
ABOUT = MaskedRound(
    ledger="wardround/bench", run="bench-1", leg="bench-1.1", round=1, project="a" * 64, model="b" * 64, threshold=2
)


def masked(names: list[str], update: np.ndarray[tuple[int], np.dtype[np.float32]]) -> tuple[float, float]:
    """Seconds of one hospital, and of the hub."""
    keys = {name: Ed25519PrivateKey.generate() for name in names}
    verify = verify_by({name: key.public_key().public_bytes_raw() for name, key in keys.items()})
    began = process_time()
    sites = {
        name: MaskingSite(name, ABOUT, weight=10, bound=10, sign=key.sign, verify=verify) for name, key in keys.items()
    }
    at_hub = 0.0
    hub = MaskingHub(ABOUT, update.size, verify)
    for name, site in sites.items():
        hub.advertised(name, site.advertise())
    roster = hub.roster()
    for name, site in sites.items():
        hub.shared(name, site.share(roster))
    hub.close_shares()
    for name in names[1:]:
        told = sites[name].input(hub.shares_for(name), update)
        start = process_time()
        hub.masked(name, told)
        at_hub += process_time() - start
    survivors = hub.survivors()
    for name in names[1:]:
        hub.confirmed(name, sites[name].confirm(survivors))
    confirmations = hub.confirmations()
    for name in names[1:]:
        hub.revealed(name, sites[name].reveal(confirmations))
    start = process_time()
    hub.unmask()
    hub.result()
    at_hub += process_time() - start
    return (process_time() - began - at_hub) / len(names), at_hub


def plain(names: list[str], update: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    """Seconds of the hub that sees every update."""
    start = process_time()
    mean = WeightedMean({"w": update})
    for _ in names[1:]:
        mean.add({"w": update}, 10)
    mean.result()
    return process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--hospitals", type=int, nargs="*", default=[4, 10])
    chosen = parser.parse_args()
    update = np.random.default_rng(1).normal(size=VALUES).astype(np.float32).clip(-10, 10)
    print(machine())
    print(f"{'hospitals':>10} {'hospital':>10} {'hub':>10} {'plain hub':>10}   processor seconds, 30 MB an update")
    rows = []
    for count in chosen.hospitals:
        names = [f"hospital-{number:03}" for number in range(count)]
        taken = [(*masked(names, update), plain(names, update)) for _ in range(1 if chosen.quick else 5)]
        site, hub, mean = (median(column) for column in zip(*taken, strict=True))
        rows.append({"hospitals": count, "hospital": site, "hub": hub, "plain": mean})
        print(f"{count:>10} {site:>10.2f} {hub:>10.2f} {mean:>10.2f}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
