"""A hub with a run of two sites, as a program that kills itself with -9 at a set moment of a set round.

`python -m tests.integration.run_child FOLDER MOMENT ROUND` begins the run, or goes on with it, in a folder of its own,
and prints each round that it committed; MOMENT `none` lets it come to its end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.unit.hub.runs import run_lab
from tests.unit.hub.runs.run_lab import ORIGIN, Hospital, RunLab

from wardround.federation.engine import RoundTask, RoundUpdate
from wardround.foundation.stored import content
from wardround.hub.runs import actions, aggregates
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import from_bytes, to_bytes
from wardround.ledger.log import Log

ROUNDS = 4
SITES = ("north", "south")
RUN = "glioma-1"
MOMENTS = ("training", "before", "kept", "written", "after")


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def lab_in(folder: Path) -> RunLab:
    """The hub of that folder with its sites; the run is begun where it isn't yet."""
    lab = RunLab(folder)
    lab.log = Log(ORIGIN, key("hub"))
    lab.restart()
    told = folder / "sites.json"
    if not told.exists():
        run_lab.Hospital = lambda lab, name: Hospital(lab, name, key(name))  # type: ignore[assignment, misc]
        lab.ready(*SITES, rounds=ROUNDS, algorithm="fedadam")
        told.write_text(json.dumps({name: lab.hospitals[name].manifest for name in SITES}))
    for name, manifest in json.loads(told.read_text()).items():
        site = lab.hospitals[name] = lab.connected[name] = Hospital(lab, name, key(name), manifest=manifest)
        site.take_part = learning(site)  # type: ignore[method-assign]
    return lab


def learning(site: Hospital) -> Callable[[RoundTask], RoundUpdate]:
    """Each site pulls the weights its own way, so that every round and the order of what is remembered count."""

    def take_part(task: RoundTask) -> RoundUpdate:
        if site.before is not None:
            site.before(site, task)
        now = from_bytes(content(task.arrays))["w"]
        wanted = np.float32(1.0 if site.name == "north" else -0.25) + np.sin(now)
        update = to_bytes({"w": wanted - now})
        index = site.update_entry(task.run_id, task.round, update)
        weight = 10.0 if site.name == "north" else 25.0
        return RoundUpdate(weight=weight, metrics={"dice": 0.5}, steps=10, ledger_index=index, update=update)

    return take_part


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arrange(lab: RunLab, moment: str, number: int) -> None:
    """Have this program die at that moment of that round."""
    commit, keep, write = lab.coordinator.commit, aggregates.keep, actions.keep_round

    def committed(result: Any) -> Any:
        now = result.round == number
        if now and moment == "before":
            die()
        if now and moment == "kept":
            aggregates.keep = lambda *given, **more: die(keep(*given, **more))  # type: ignore[assignment]
        if now and moment == "written":
            actions.keep_round = lambda *given, **more: die(write(*given, **more))  # type: ignore[assignment]
        wanted = commit(result)
        print(result.round, flush=True)
        if now and moment == "after":
            die()
        return wanted

    lab.coordinator.commit = committed  # type: ignore[method-assign]
    if moment == "training":
        lab.hospitals["south"].before = lambda _site, task: die() if task.round == number else None


def main() -> None:
    folder, moment, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    folder.mkdir(exist_ok=True)
    lab = lab_in(folder)
    arrange(lab, moment, number)
    assert lab.drive(RUN, RunState.COMPARING, RunState.FAILED) is RunState.COMPARING, lab.row(RUN).reason
    (folder / "result.json").write_text(json.dumps(from_bytes(lab.objects.get(lab.row(RUN).current))["w"].tolist()))
    lab.close()


if __name__ == "__main__":
    main()
