"""From the last image of a study to the model's answer in the PACS, through a whole node, alone and under a day's load.

First a CT of 324 slices (170 MB), sent by Debian's storescu: the time from the last C-STORE response to the moment
when findscu finds SEG and SR in Orthanc. Then the load that a hospital has: 250 studies an hour (CT 30, MR 25,
ultrasound 50, X-ray 120, others 25), all to the clinical path, at twice that rate; a 3D network reads the CTs, a 2D one
the MRs. The node waits for QUIET seconds of silence before it holds a study for complete; they count.

AIDE isn't measured here; the figure beside it is what its authors published for a CT of this size.

    python benchmarks/point_of_care.py [--quick] [--json FILE] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _bench import family_cpu, machine
from _hospital import Hospital, hospital
from _phantoms import CAPTURE, CT_SLICES, US, XRAY, Kind, ct_kind, ct_volume, mr_kind, plain_kind, study_uid
from ready import row, send, until

QUIET = 2.0
TARGET = 15.0
AIDE = "150 s end to end, of which receiving 14 to 34 s and dispatch 11.6 s (published, not measured here)"
HOUR = {"CT": 30, "MR": 25, "US": 50, "DX": 120, "OT": 25}
FASTER = 2
MINUTES, QUICK_MINUTES = 10.0, 2.5
FLAT = 1.1
"""How much more memory than in the first third of the load the last third may take."""
WANTED = {"SEG", "SR"}
LOOKED_EVERY, DRAIN = 0.25, 120.0
FIRST = 1000
"""Number of the load's first study."""


@dataclass
class Load:
    """expected: the studies that a model reads, by UID. sent: when the last image of each was taken; done: when its SEG
    and SR were found. memory: of all the node's processes, in MB, what they share counted once, with the moment.
    parted: how often a study was held for complete before it was, and read again."""

    expected: set[str]
    sent: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    parted: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns, a shorter load; under 10 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--threads", type=int, default=2, help="processor cores that reading takes")
    options = parser.parse_args(arguments)
    turns, minutes = (3, QUICK_MINUTES) if options.quick else (7, MINUTES)
    began = machine()
    kinds = made_kinds()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with hospital(folder, quiet=QUIET, threads=options.threads) as site:
            # The first one warms up.
            alone = [one_study(site, kinds["CT"], folder / "sent", turn) for turn in range(turns + 1)][1:]
            print(f"alone: {', '.join(f'{took:.1f}' for took, _ in alone)} s; the load begins", flush=True)
            load = under_load(site, kinds, folder / "sent", minutes)
            failures = failed(site, load)
    rows = [*rows_alone(alone), *rows_loaded(load, failures)]
    print(
        f"{CT_SLICES} slices, {kinds['CT'].megabytes:.0f} MB; {turns} turns, medians; {QUIET} s of quiet are part of it"
    )
    print(f"then {len(load.sent)} studies in {minutes:g} minutes, {FASTER} times the rate of a day")
    for one in rows:
        peers = "".join(f"; {name} {value}" for name, value in one["peers"].items())
        verdict = {True: "met", False: "NOT met", None: ""}[one["met"]]
        print(f"{one['name']}: {one['ours']} {one['unit']}{peers} {one['target']} {verdict}")
    if failures:
        print(f"failures: {dict(failures)}")
    print(f"{began} to {machine()}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
    return 0


def made_kinds() -> dict[str, Kind]:
    values, _ = ct_volume()
    return {
        "CT": ct_kind(values),
        "MR": mr_kind(),
        "US": plain_kind("US", US, 12, (480, 640), samples=3),
        "DX": plain_kind("DX", XRAY, 2, (2048, 2048)),
        "OT": plain_kind("OT", CAPTURE, 4, (512, 512)),
    }


def one_study(site: Hospital, kind: Kind, folder: Path, number: int) -> tuple[float, float]:
    """Seconds from the last image to SEG and SR in Orthanc, and the processor seconds of all the node's processes."""
    uid = kind.write(folder / str(number), number)
    spent = family_cpu(site.process)
    _, last = send(folder / str(number), site.port, "WARDCLINIC", len(kind.objects))
    moment = until(lambda: site.found(uid).get(uid, set()) >= WANTED)
    shutil.rmtree(folder / str(number))
    return moment - last, family_cpu(site.process) - spent


def under_load(site: Hospital, kinds: dict[str, Kind], folder: Path, minutes: float) -> Load:
    """An hour's mix at `FASTER` times its rate: how many of each kind is fixed, when each comes is chance."""
    chance = np.random.default_rng(20261130)
    counts = {name: max(1, round(count * FASTER * minutes / 60)) for name, count in HOUR.items()}
    order = [name for name, count in counts.items() for _ in range(count)]
    chance.shuffle(order)
    moments = sorted(float(chance.uniform(0, 60 * minutes)) for _ in order)
    expected = {study_uid(FIRST + place) for place, name in enumerate(order) if kinds[name].read}
    load, over = Load(expected), threading.Event()
    began = time.monotonic()

    def give(kind: Kind, number: int, at: float) -> None:
        time.sleep(max(0.0, began + at - time.monotonic()))
        uid = kind.write(folder / str(number), number)
        _, load.sent[uid] = send(folder / str(number), site.port, "WARDCLINIC", len(kind.objects))
        shutil.rmtree(folder / str(number))

    watching = threading.Thread(target=watch, args=(site, load, over))
    watching.start()
    with ThreadPoolExecutor(len(order)) as pool:
        given: list[Future[None]] = [
            pool.submit(give, kinds[name], FIRST + place, at)
            for place, (name, at) in enumerate(zip(order, moments, strict=True))
        ]
        for one in given:
            one.result()
    deadline = time.monotonic() + DRAIN
    while not load.expected <= load.done.keys() and time.monotonic() < deadline:
        time.sleep(LOOKED_EVERY)
    over.set()
    watching.join()
    return load


def watch(site: Hospital, load: Load, over: threading.Event) -> None:
    """Ask Orthanc again and again what it has, and look how much memory the node takes."""
    from wardround.demo.memory import tree_memory

    while not over.wait(LOOKED_EVERY):
        found, moment = site.found(), time.monotonic()
        for uid, modalities in found.items():
            if modalities >= WANTED:
                load.done.setdefault(uid, moment)
        load.memory.append((moment, tree_memory(site.process.pid) / 1e6))


def failed(site: Hospital, load: Load) -> Counter[str]:
    """What became of the studies that were sent, where it isn't what should have."""
    with closing(sqlite3.connect(f"file:{site.home / 'node.db'}?mode=ro", uri=True, timeout=30)) as database:
        told = database.execute(
            "SELECT state, reason FROM worklist AS line WHERE state NOT IN ('delivered', 'elsewhere') AND version = "
            "(SELECT max(version) FROM worklist WHERE study = line.study AND deployment = line.deployment)"
        )
        failures = Counter(f"{state}: {reason}" for state, reason in told)
        out = database.execute("SELECT count(*) FROM deployments WHERE NOT active").fetchone()[0]
        load.parted = database.execute(
            "SELECT count(*) FROM worklist WHERE version > 0 AND state != 'elsewhere'"
        ).fetchone()[0]
    if out:
        failures["a model was suspended"] = out
    if missing := len(load.expected - load.done.keys()):
        failures["no SEG and SR in Orthanc"] = missing
    return failures


def rows_alone(alone: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    took = statistics.median(seconds for seconds, _ in alone)
    spent = statistics.median(cpu for _, cpu in alone)
    return [
        row("last image to SEG and SR in Orthanc", took, {"AIDE": AIDE}, f"< {TARGET:g}", took < TARGET, "s"),
        row("processor time for the study, receiving included", spent, {}, "", None, "s"),
    ]


def rows_loaded(load: Load, failures: Counter[str]) -> list[dict[str, Any]]:
    waits = sorted(load.done[uid] - sent for uid, sent in load.sent.items() if uid in load.done)
    first, last = (memory_of(load, third) for third in (0, 2))
    missing = failures.total()
    found = f"of {len(waits)} that a model reads, {len(load.sent)} studies in all"
    return [
        row(f"load: median wait for SEG and SR, {found}", statistics.median(waits), {}, "", None, "s"),
        row("load: 95th percentile of it", statistics.quantiles(waits, n=20)[-1], {}, "", None, "s"),
        row("load: failures", float(missing), {}, "0", missing == 0, "studies"),
        row("load: studies held for complete too early", float(load.parted), {}, "", None, "studies"),
        row("load: memory, last third", last, {"first third": first}, f"<= {FLAT:g}x", last <= FLAT * first, "MB"),
        row("load: memory, at the most", max(one for _, one in load.memory), {}, "", None, "MB"),
    ]


def memory_of(load: Load, third: int) -> float:
    """The median over a third of the load."""
    begin, end = load.memory[0][0], max(load.sent.values())
    low, high = (begin + (end - begin) * part / 3 for part in (third, third + 1))
    return statistics.median(one for moment, one in load.memory if low <= moment <= high)


if __name__ == "__main__":
    raise SystemExit(main())
