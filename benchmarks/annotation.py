"""What a reader gets of clicks: Dice after 0, 1, 3, 5 and 10, how long each takes, and `/info/` meanwhile.

Readers are simulated as in the literature: each click goes into the middle of the largest part that is wrong. They
outline gliomas of patients who were held out from the click network, which learns from the other patients of the same
hospitals. Seconds are those of a client over HTTP, on a volume of 128 x 128 x 96 voxels that lies at the server.

What was learned is kept in `build/benchmarks`, which git doesn't track, under a name made of the patients, the steps
and the code that learns. A run that finds it there says so and trains nothing; `--anew` trains all the same.

MONAI Label's server forces numpy 1.26 and pydicom 2, so that it can't stand in this environment. benchmarks/README.md
says how it is had in one of its own. Where it runs on this machine, `--peer URL --peer-model NAME` measures its clicks
and its `/info/` in turn with ours.
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import psutil
from _annotation_ours import WEIGHTS
from _bench import family_cpu, machine
from _lgg import mean, read

from wardround.foundation.files import write_whole
from wardround.learning import case as cases_of
from wardround.learning import components, segmenter
from wardround.learning.case import Case
from wardround.learning.interactive import box, canvas, geodesic, lessons, simulation, unet
from wardround.learning.interactive.judgement import Outlined, Outliner, by_distance, by_network, read_by_clicks
from wardround.learning.interactive.lessons import Lesson, trained
from wardround.learning.interactive.network import ClickNetwork
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.volume_file import NIFTI_GZ, write_file

AFTER = (0, 1, 3, 5, 10)
CLICK_MS = 200
"""In which a click is answered once warm."""
INFO_MS = 100
"""In which `/info/` is answered whatever a model does."""
WORDS = {"click": "a click", "info": "/info/ meanwhile"}
SHAPE, SPACING = (96, 128, 128), (1.5, 1.5, 1.5)
STEPS, QUICK_STEPS = 5000, 1600
"""Of training; the quick ones take two minutes of processor time with Intel AMX, five without."""
KEPT = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
LEARNS = (lessons, canvas, unet, simulation, box, geodesic, segmenter, components, cases_of)


def outliners(case: Case, network: ClickNetwork) -> dict[str, Outliner]:
    one = Outlined(np.asarray(case.image, np.float32), np.asarray(case.label, np.bool_), case.spacing)
    return {"geodesic": by_distance(one), "network": by_network(one, network)}


@contextmanager
def serving(network: bytes, threads: int) -> Iterator[tuple[str, dict[str, str], psutil.Process]]:
    """A node's annotation without images in a process of its own, and the header of somebody who signed in there."""
    with TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS
        weights.parent.mkdir(parents=True)
        weights.write_bytes(network)
        command = [sys.executable, str(Path(__file__).with_name("_annotation_ours.py")), folder, str(threads)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None and child.stdout is not None  # noqa: S101 - asked for above
            try:
                told = json.loads(child.stdout.readline())
                yield told["url"], {"Authorization": f"Bearer {told['token']}"}, psutil.Process(child.pid)
            finally:
                child.stdin.close()


class Server:
    """One server as a client sees it. `model` answers clicks."""

    def __init__(self, name: str, url: str, header: dict[str, str], model: str) -> None:
        self.name = name
        self.clicks: list[float] = []
        self.info: list[float] = []
        self._model = model
        self._url = url.rstrip("/")
        self._http = httpx.Client(headers=header, timeout=600)
        volume = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.int16)
        volume[30:60, 40:80, 40:80] += 80
        file = write_file(Grid(volume, np.diag([*SPACING, 1.0])), NIFTI_GZ)
        made = self._http.put(f"{self._url}/session/", files={"files": ("volume.nii.gz", file)})
        self._session = made.json()["session_id"]

    def click(self, number: int) -> float:
        """Seconds of a click on a place that wasn't clicked before."""
        place = [40 + number % 40, 40 + number * 7 % 40, 30 + number % 30]
        params = {"foreground": [place], "background": [], "result_extension": ".nrrd", "result_dtype": "uint8"}
        began = time.perf_counter()
        answer = self._http.post(
            f"{self._url}/infer/{self._model}",
            params={"session_id": self._session, "output": "image"},
            files={"params": (None, json.dumps(params))},
        )
        answer.raise_for_status()
        return time.perf_counter() - began

    def watch(self, clicks: int, first: int) -> None:
        """Click so often, and ask for `/info/` all the while from another connection."""
        done = threading.Event()

        def ask() -> None:
            with httpx.Client(headers=self._http.headers, timeout=600) as other:
                while not done.wait(0.05):
                    began = time.perf_counter()
                    other.get(f"{self._url}/info/").raise_for_status()
                    self.info.append(time.perf_counter() - began)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            self.clicks += [self.click(first + one) for one in range(clicks)]
        finally:
            done.set()
            asking.join()


def row(
    name: str, ours: float, peers: Mapping[str, float], unit: str, target: float | None = None, *, more: bool = False
) -> dict[str, Any]:
    """`more`: the target is to be reached rather than not to be reached."""
    met = None if target is None else ours >= target if more else ours < target
    return {"name": name, "ours": ours, "peers": dict(peers), "target": target, "met": met, "unit": unit}


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {
        name: round(float(np.percentile(seconds, share)) * 1000, 1)
        for name, share in (("p50", 50), ("p95", 95), ("most", 100))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/datasets/lgg-mri")
    parser.add_argument("--quick", action="store_true", help="little training: under ten minutes on two cores")
    parser.add_argument("--steps", type=int, help="steps of training the click network")
    parser.add_argument("--anew", action="store_true", help="train, even where an earlier run left what it learned")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", default="", help="the address of a MONAI Label server")
    parser.add_argument("--peer-model", default="deepedit", help="its model that answers clicks")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    steps = asked.steps or (QUICK_STEPS if asked.quick else STEPS)
    if not asked.data.is_dir():
        print(f"Skipped: {asked.data} isn't here; --data FOLDER says where the gliomas are")
        return
    hospitals = read(asked.data, 42).values()
    training = [case for parts in hospitals for case in parts.training if case.label is not None and case.label.any()]
    held_out = [case for parts in hospitals for case in parts.held_out if case.label is not None and case.label.any()]
    print(f"{machine()}\n{len(training)} patients to learn from, {len(held_out)} held out, {steps} steps", flush=True)
    weights, rows = _learned(training, steps, asked.threads, anew=asked.anew)
    rows += _read(held_out, ClickNetwork.of(weights, asked.threads))
    rows += _servers(asked, weights, 20 if asked.quick else 100)
    print(f"\n{'':<30}{'target':>10}{'reached':>10}")
    for one in (one for one in rows if one["target"] is not None):
        verdict = "" if one["met"] else "  MISSED"
        print(f"{one['name']:<30}{one['target']:>10}{one['ours']:>10} {one['unit']}{verdict}")
    if asked.json:
        told = {"machine": machine(), "steps": steps, "held_out": len(held_out), "rows": rows}
        asked.json.write_text(json.dumps(told, indent=1))


def _learned(cases: Sequence[Case], steps: int, threads: int, *, anew: bool) -> tuple[bytes, list[dict[str, Any]]]:
    """The weights, and a row of what it took to train them; no row where an earlier run trained them."""
    kept = KEPT / f"clicks-{_name(cases, steps)}.safetensors"
    if kept.is_file() and not anew:
        print(f"Nothing is trained: the weights are of an earlier run of {steps} steps, build/benchmarks/{kept.name}")
        return kept.read_bytes(), []
    began = time.process_time()

    def progress(step: int, loss: float) -> None:
        if step % 100 == 0:
            print(f"{step} steps, mean loss {loss:.3f}, {time.process_time() - began:.0f} s", flush=True)

    read = [Lesson.of(np.asarray(one.image, np.float32), np.asarray(one.label, np.bool_), one.spacing) for one in cases]
    weights = trained(read, steps=steps, threads=threads, progress=progress)
    KEPT.mkdir(parents=True, exist_ok=True)
    write_whole(kept, weights)
    print(f"Trained in this run, and kept as build/benchmarks/{kept.name}")
    return weights, [row("training of the click network, processor time", time.process_time() - began, {}, "s")]


def _name(cases: Sequence[Case], steps: int) -> str:
    """Another one where other patients, more steps or other code would teach something else."""
    digest = sha256(str(steps).encode())
    for module in LEARNS:
        digest.update(inspect.getsource(module).encode())
    for case in cases:
        digest.update(np.asarray(case.label, np.bool_).tobytes())
    return digest.hexdigest()[:16]


def _read(cases: Sequence[Case], network: ClickNetwork) -> list[dict[str, Any]]:
    """Readers of all cases, with the network and with geodesic distance, which is what they have before training."""
    judged: dict[str, list[list[float]]] = {"geodesic": [], "network": []}
    for case in cases:
        for name, outline in outliners(case, network).items():
            judged[name].append(read_by_clicks(outline, np.asarray(case.label, np.bool_), max(AFTER)))
    print(f"\nDice, mean over {len(cases)} patients\n{'clicks':<12}" + "".join(f"{after:>8}" for after in AFTER))
    reached = {
        name: {after: mean(one[after] for one in patients) for after in AFTER} for name, patients in judged.items()
    }
    for name, values in reached.items():
        print(f"{name:<12}" + "".join(f"{values[after]:>8.3f}" for after in AFTER), flush=True)
    return [
        row(
            f"after {after} clicks",
            round(reached["network"][after], 3),
            {"geodesic": round(reached["geodesic"][after], 3)},
            "Dice",
            round(reached["geodesic"][after], 3),
            more=True,
        )
        for after in AFTER
    ]


def _servers(asked: argparse.Namespace, weights: bytes, clicks: int) -> list[dict[str, Any]]:
    """Processor time of a click of ours; then clicks and `/info/` of each server, taken in turns of five."""
    with serving(weights, asked.threads) as (url, header, process):
        ours = Server("Wardround, network", url, header, "clicks")
        servers = [ours]
        if asked.peer:
            servers.append(Server("MONAI Label", asked.peer, {}, asked.peer_model))
        else:
            print("\nMONAI Label's server isn't measured: none runs here (--peer)")
        for server in servers:
            for number in range(3):
                server.click(number)  # cold: not counted
        before = family_cpu(process)
        for number in range(clicks):
            ours.click(number)
        each = (family_cpu(process) - before) / clicks
        for first in range(0, clicks, 5):
            for server in servers:
                server.watch(5, first)
        told = {one.name: {"click": milliseconds(one.clicks), "info": milliseconds(one.info)} for one in servers}
    print(f"\nA click, from the request to the answer: {each * 1000:.0f} ms of the server's processor time")
    print(f"Milliseconds over HTTP, {clicks} clicks, load now {machine().partition('load ')[2]}")
    print(f"{'':<20}{'click p50':>12}{'p95':>8}{'/info/ p50':>12}{'p95':>8}{'most':>8}")
    for name, one in told.items():
        click, info = one["click"], one["info"]
        line = f"{click['p50']:>12}{click['p95']:>8}{info['p50']:>12}{info['p95']:>8}{info['most']:>8}"
        print(f"{name:<20}{line}", flush=True)
    others = [name for name in told if name != ours.name]
    found = [row("a click, processor time of the server", round(each * 1000, 1), {}, "ms")]
    for what, words in WORDS.items():
        for share in ("p50", "p95", "most"):
            peers = {name: told[name][what][share] for name in others}
            target = None if share == "most" else CLICK_MS if what == "click" else INFO_MS
            found.append(row(f"{words}, {share}", told[ours.name][what][share], peers, "ms", target))
    return found


if __name__ == "__main__":
    main()
