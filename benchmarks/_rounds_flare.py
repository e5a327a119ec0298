"""FLARE's own side of `rounds.py`: its FedAvg controller with NumPy arrays, between the same processes as ours.

The server and the clients are started as Wardround starts them, and accept its classes too; the job is FLARE's own but
for the executor, which answers at once.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from _rounds import Setting, changed, model_of, told
from _rounds_ours import be_site, identity
from nvflare.apis.dxo import DXO, DataKind, MetaKey
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

KEY = "numpy_key"
CONTROLLER = "nvflare.app_common.workflows.fedavg.FedAvg"
PERSISTOR = "nvflare.app_common.np.np_model_persistor.NPModelPersistor"
ANSWER = "_rounds_flare.Answer"


def flat(setting: Setting, seed: int | None = None) -> Any:
    model = model_of(setting.megabytes)
    arrays = model if seed is None else changed(model, seed)
    return np.concatenate([arrays[name] for name in sorted(arrays)])


class Answer(Executor):  # type: ignore[misc]  # nvflare has no types
    """Gives the same weights in every round, and notes when it was asked."""

    def __init__(self, notes: str) -> None:
        super().__init__()
        self._notes = Path(notes)
        self._setting = Setting.read((self._notes / "setting").read_text())
        self._update: Any = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        site = str(fl_ctx.get_identity_name())
        with (self._notes / f"{site}.steps").open("a") as file:
            file.write(f"{time.monotonic()}\n")
        if self._update is None:
            self._update = flat(self._setting, self._setting.sites.index(site))
        made = DXO(DataKind.WEIGHTS, {KEY: self._update}, {MetaKey.NUM_STEPS_CURRENT_ROUND: 1})
        return made.to_shareable()


def serve_hub(setting: Setting, folder: Path, port: int) -> None:
    from wardround.federation.flare import hub

    allow_more(hub, "write_hub_kit")
    over = threading.Event()

    class Engine(hub.FlareEngine):
        def _job_ended(self, job_id: str) -> None:
            over.set()

    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "model.npy", flat(setting))
    (folder / "setting").write_text(setting.text())
    engine = Engine(folder / "engine", identity(folder.parent / "pki", "hub"), None, port=port)  # type: ignore[arg-type]
    engine.start()
    try:
        while len(engine.connected()) < len(setting.sites):
            time.sleep(0.05)
        told("ready")
        sys.stdin.readline()
        started = time.monotonic()
        told("started", at=started)
        server: Any = engine._server
        engine.submit(server, str(uuid.uuid4()), setting.sites, job(setting, folder))
        over.wait()
        steps = [
            [float(line) for line in (folder / f"{site}.steps").read_text().splitlines()] for site in setting.sites
        ]
        size = 4 * flat(setting).size * len(setting.sites)
        for number in range(setting.rounds):
            # A round is over when its successor is asked of the first site; the last one is left out.
            told("round", number=number, at=min(one[number] for one in steps), up=size, down=size)
        told("step", number=1, at=min(one[0] for one in steps))
        told("ended")
    finally:
        engine.close()


def job(setting: Setting, folder: Path) -> dict[str, dict[str, Any]]:
    controller = {
        "id": "controller",
        "path": CONTROLLER,
        "args": {"num_clients": len(setting.sites), "num_rounds": setting.rounds},
    }
    persistor = {
        "id": "persistor",
        "path": PERSISTOR,
        "args": {"source_ckpt_file_full_name": str(folder / "model.npy")},
    }
    answer = {"path": ANSWER, "args": {"notes": str(folder)}}
    return {
        "config_fed_server.json": {"format_version": 2, "workflows": [controller], "components": [persistor]},
        "config_fed_client.json": {"format_version": 2, "executors": [{"tasks": ["train"], "executor": answer}]},
    }


def serve_site(setting: Setting, folder: Path, port: int) -> None:
    from wardround.federation.flare import site

    allow_more(site, "write_site_kit")
    folder.mkdir(parents=True)
    be_site(folder, port)


def allow_more(module: Any, name: str) -> None:
    """Have kits allow this job's classes beside ours."""
    made = getattr(module, name)

    def write(folder: Path, *rest: Any) -> None:
        made(folder, *rest)
        file = folder / "local/resources.json"
        resources = json.loads(file.read_text())
        resources["class_allow_list"] += [CONTROLLER, PERSISTOR, ANSWER]
        file.write_text(json.dumps(resources))

    setattr(module, name, write)
