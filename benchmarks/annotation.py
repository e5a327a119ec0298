"""What a reader gets of clicks: Dice after 0, 1, 3, 5 and 10, how long each takes, and `/info/` meanwhile.

Readers are simulated as in the literature: each click goes into the middle of the largest part that is wrong. They
outline gliomas of patients who were held out from the click network, which learns from the other patients of the same
hospitals. Seconds are those of a client over HTTP, on a volume of 128 x 128 x 96 voxels that lies at the server.

MONAI Label's server forces numpy 1.26, pydicom 2 and torchvision, so that it can't stand in this environment. Where one
runs elsewhere on this machine, `--peer URL --peer-model NAME` measures its clicks and its `/info/` in turn with ours.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from _bench import machine
from _lgg import mean, read
from numpy.typing import NDArray

from wardround.foundation.clock import now
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.foundation.web_server import WebServer
from wardround.learning.case import Case
from wardround.learning.interactive import geodesic
from wardround.learning.interactive.canvas import Canvas
from wardround.learning.interactive.lessons import Lesson, trained
from wardround.learning.interactive.network import ClickNetwork
from wardround.learning.interactive.simulation import next_click
from wardround.learning.metrics import dice
from wardround.node import audit
from wardround.node.annotate.desk import AnnotationDesk
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.server import annotation_app
from wardround.node.annotate.volume_file import NIFTI_GZ, write_file
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.settings import AnnotationSettings
from wardround.people import accounts
from wardround.people.grants import scoped
from wardround.people.roles import Program, Role
from wardround.people.roster import Roster
from wardround.people.settings import PeopleSettings

AFTER = (0, 1, 3, 5, 10)
CLICK_MS = 200
"""In which a click is answered once warm."""
WORDS = {"click": "a click", "info": "/info/ meanwhile"}
SHAPE, SPACING = (96, 128, 128), (1.5, 1.5, 1.5)
PASSWORD = "fjord gnome quilt"  # noqa: S105 - of an account that lives for this run

Outliner = Callable[[Sequence[geodesic.Mark], Sequence[geodesic.Mark]], NDArray[np.bool_]]


def read_by_clicks(outline: Outliner, wanted: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """Dice after each number of clicks from none to the most, and the processor seconds of each click."""
    foreground: list[geodesic.Mark] = []
    background: list[geodesic.Mark] = []
    found = outline(foreground, background)
    told, seconds = [dice(found, wanted)], []
    for _ in range(max(AFTER)):
        click = next_click(wanted, found)
        if click is not None:
            (foreground if click.inside else background).append(click.place)
            began = time.process_time()
            found = outline(foreground, background)
            seconds.append(time.process_time() - began)
        told.append(dice(found, wanted))
    return told, seconds


def outliners(case: Case, network: ClickNetwork) -> dict[str, Outliner]:
    image = np.asarray(case.image, np.float32)
    coarse, canvas = geodesic.Coarse.of(image, case.spacing), Canvas.of(image, case.spacing)
    return {
        "geodesic": lambda inside, outside: geodesic.outline(coarse, inside, outside),
        "network": lambda inside, outside: network.outline(canvas, inside, outside),
    }


@contextmanager
def serving(folder: Path, network: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """An annotation server of a node without images, and the header of somebody who signed in."""
    database = Database(f"sqlite:///{folder / 'node.db'}", migrations="wardround.node.migrations")
    database.upgrade()
    people = PeopleSettings(second_factor="optional")
    roster = Roster(database, Program.NODE, "north", folder / "people.key", audit.record, people)
    for name, role in (("boss", Role.OPERATOR), ("reader", Role.RADIOLOGIST)):
        code, _ = accounts.add(roster, name, "", [scoped(roster, role, None)], actor="os:bench")
        accounts.enrol(roster, name, code, PASSWORD, "", source="bench")
    objects = ObjectStore(folder / "objects")
    desk = AnnotationDesk(database, objects, roster, folder / "annotation", AnnotationSettings(), folder.joinpath)
    (folder / "annotation" / "training").mkdir(parents=True)
    (folder / "annotation" / "training" / "clicks.safetensors").write_bytes(network)
    app = annotation_app(desk, Catalogue(database, objects), None, now)  # type: ignore[arg-type]  # stores nothing
    server = WebServer(app, "annotation", host="127.0.0.1", port=0)
    desk.start()
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}/monailabel"
        signed = httpx.post(f"{url}/auth/token", data={"username": "reader", "password": PASSWORD}, timeout=60)
        yield url, {"Authorization": f"Bearer {signed.json()['access_token']}"}
    finally:
        server.stop()
        desk.stop()
        database.close()


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


def row(name: str, ours: float, peers: dict[str, float], unit: str, target: float | None = None) -> dict[str, Any]:
    met = None if target is None else ours < target
    return {"name": name, "ours": ours, "peers": peers, "target": target, "met": met, "unit": unit}


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {
        name: round(float(np.percentile(seconds, share)) * 1000, 1)
        for name, share in (("p50", 50), ("p95", 95), ("most", 100))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/datasets/lgg-mri")
    parser.add_argument("--quick", action="store_true", help="few patients and little training: under ten minutes")
    parser.add_argument("--steps", type=int, help="steps of training the click network")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", default="", help="the address of a MONAI Label server")
    parser.add_argument("--peer-model", default="deepedit", help="its model that answers clicks")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    steps = asked.steps or (150 if asked.quick else 1500)
    if not asked.data.is_dir():
        print(f"Skipped: {asked.data} isn't here; --data FOLDER says where the gliomas are")
        return
    hospitals = read(asked.data, 42, 6 if asked.quick else None).values()
    training = [case for parts in hospitals for case in parts.training if case.label is not None and case.label.any()]
    held_out = [case for parts in hospitals for case in parts.held_out if case.label is not None and case.label.any()]
    print(f"{machine()}\n{len(training)} patients to learn from, {len(held_out)} held out, {steps} steps", flush=True)
    began = time.process_time()
    lessons = [Lesson.of(np.asarray(one.image, np.float32), one.label, one.spacing) for one in training]
    weights = trained(lessons, steps=steps, threads=asked.threads)
    learned = time.process_time() - began
    network = ClickNetwork.of(weights, asked.threads)
    judged: dict[str, list[list[float]]] = {"geodesic": [], "network": []}
    for case in held_out:
        for name, outline in outliners(case, network).items():
            judged[name].append(read_by_clicks(outline, np.asarray(case.label, np.bool_))[0])
    reached = {
        name: {after: round(mean(one[after] for one in patients), 3) for after in AFTER}
        for name, patients in judged.items()
    }
    rows = [row("training of the click network: processor time", round(learned, 1), {}, "s")]
    rows += [
        row(f"after {after} clicks", reached["network"][after], {"geodesic": reached["geodesic"][after]}, "Dice")
        for after in AFTER
    ]
    print(f"\nDice, mean over {len(held_out)} patients; training took {learned:.0f} s of processor time")
    print(f"{'clicks':<12}" + "".join(f"{after:>8}" for after in AFTER))
    for name, values in reached.items():
        print(f"{name:<12}" + "".join(f"{values[after]:>8.3f}" for after in AFTER), flush=True)
    rows += _servers(asked, weights, 20 if asked.quick else 100)
    if asked.json:
        told = {"machine": machine(), "steps": steps, "held_out": len(held_out), "rows": rows}
        asked.json.write_text(json.dumps(told, indent=1))


def _servers(asked: argparse.Namespace, weights: bytes, clicks: int) -> list[dict[str, Any]]:
    """Clicks and `/info/` of each server, taken in turns of five."""
    with TemporaryDirectory() as folder, serving(Path(folder), weights) as (url, header):
        servers = [Server("Wardround, network", url, header, "clicks")]
        if asked.peer:
            servers.append(Server("MONAI Label", asked.peer, {}, asked.peer_model))
        else:
            print("\nMONAI Label's server isn't measured: none runs here (--peer)")
        for server in servers:
            for number in range(3):
                server.click(number)  # cold: not counted
        for first in range(3, clicks + 3, 5):
            for server in servers:
                server.watch(5, first)
        told = {one.name: {"click": milliseconds(one.clicks), "info": milliseconds(one.info)} for one in servers}
    print(f"\nMilliseconds over HTTP, {clicks} clicks, load now {machine().partition('load ')[2]}")
    print(f"{'':<20}{'click p50':>12}{'p95':>8}{'/info/ p50':>12}{'p95':>8}{'most':>8}")
    for name, one in told.items():
        click, info = one["click"], one["info"]
        line = f"{click['p50']:>12}{click['p95']:>8}{info['p50']:>12}{info['p95']:>8}{info['most']:>8}"
        print(f"{name:<20}{line}", flush=True)
    ours, *others = told
    return [
        row(
            f"{WORDS[what]}, {share}",
            told[ours][what][share],
            {name: told[name][what][share] for name in others},
            "ms",
            CLICK_MS if what == "click" and share != "most" else None,
        )
        for what in WORDS
        for share in ("p50", "p95", "most")
    ]


if __name__ == "__main__":
    main()
