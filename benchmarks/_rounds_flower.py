"""Flower's own side of `rounds.py`: its SuperLink and SuperNodes over TLS, FedAvg, a ClientApp that answers at once.

Flower pins other versions than we do, so it runs in an environment of its own: `build/flower` in the repository, made
here when the benchmark runs and the package index can be reached.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

from _rounds import Setting, told
from rounds import free_port

VERSION = "1.42.0"
PLACE = Path(__file__).parent.parent / "build" / "flower"
PROJECT = f"""[project]
name = "rounds"
version = "1.0.0"
description = "Rounds of a benchmark"
license = "Apache-2.0"
dependencies = ["flwr[simulation]=={VERSION}"]
[tool.flwr.app]
publisher = "wardround"
[tool.flwr.app.components]
serverapp = "rounds_app:server"
clientapp = "rounds_app:client"
"""
APP = '''"""A server that notes when a round ended, and clients that answer at once."""
import json, os, sys, time
sys.path.insert(0, os.environ["ROUNDS_BENCHMARKS"])
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from _rounds import Setting, changed, model_of

setting = Setting.read(os.environ["ROUNDS_SETTING"])
kept = {}


def note(what, **more):
    with open(os.environ["ROUNDS_NOTES"], "ab", 0) as file:
        file.write(json.dumps({"what": what, "at": time.monotonic(), **more}).encode() + b"\\n")


class Noting(FedAvg):
    def aggregate_train(self, server_round, replies):
        made = super().aggregate_train(server_round, replies)
        note("round", number=server_round)
        return made


client = ClientApp()


@client.train()
def train(message, context):
    note("step")
    if not kept:
        kept.update(changed(model_of(setting.megabytes), os.getpid()))
    arrays = ArrayRecord.from_numpy_ndarrays(list(kept.values()))
    record = {"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}
    return Message(content=RecordDict(record), reply_to=message)


server = ServerApp()


@server.main()
def main(grid, context):
    sites = len(setting.sites)
    strategy = Noting(fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites)
    first = ArrayRecord.from_numpy_ndarrays(list(model_of(setting.megabytes).values()))
    strategy.start(grid=grid, initial_arrays=first, num_rounds=setting.rounds)
    note("ended")
'''


def ready() -> str:
    """Make the environment unless it is there. Why there is none, or nothing."""
    if not (PLACE / "whole").exists():
        venv.create(PLACE, with_pip=True, clear=True)
        asked = [PLACE / "bin/pip", "install", "--quiet", f"flwr=={VERSION}", "numpy"]
        if subprocess.run(asked, capture_output=True, check=False).returncode:
            return f"Flower is left out: flwr {VERSION} can't be installed from the package index"
        (PLACE / "whole").touch()
    return ""


def environment(setting: Setting, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{PLACE / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": "",
        "FLWR_HOME": str(folder / "home"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "ROUNDS_BENCHMARKS": str(Path(__file__).parent),
        "ROUNDS_SETTING": setting.text(),
        "ROUNDS_NOTES": str(folder.parent / "notes"),
    }


def start(program: str, *arguments: Any, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [str(PLACE / "bin" / program), *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def reached(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)


def serve_hub(setting: Setting, folder: Path, port: int) -> None:
    pki = folder.parent / "pki"
    app, home, env = folder / "app", folder / "home", environment(setting, folder)
    app.mkdir(parents=True)
    home.mkdir()
    (app / "pyproject.toml").write_text(PROJECT)
    (app / "rounds_app.py").write_text(APP)
    notes = Path(env["ROUNDS_NOTES"])
    notes.touch()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "hub"\n[superlink.hub]\naddress = "localhost:{port}"\n'
        f'root-certificates = "{pki / "root.pem"}"\n'
    )
    tls = ["--ssl-ca-certfile", pki / "root.pem", "--ssl-certfile", pki / "hub.crt", "--ssl-keyfile", pki / "hub.key"]
    place = ["--host", "127.0.0.1", "--port", port, "--disable-runtime-dependency-installation"]
    link = start("flower-superlink", *tls, *place, env=env)
    try:
        reached(port)
        told("listening")
        told("ready")
        sys.stdin.readline()
        told("started", at=time.monotonic())
        subprocess.run([PLACE / "bin/flwr", "run", app, "hub"], env=env, stdout=sys.stderr, check=True)
        follow(notes, setting)
        sys.stdin.readline()
    finally:
        link.terminate()
        link.wait()


def follow(notes: Path, setting: Setting) -> None:
    """Tell what the apps note, until the last round is done."""
    size = len(setting.sites) * setting.megabytes * 1_000_000
    with notes.open() as file:
        while True:
            line = file.readline()
            if not line:
                time.sleep(0.05)
                continue
            note = json.loads(line)
            told(note.pop("what"), **note, up=size, down=size)
            if '"ended"' in line:
                return


def serve_site(setting: Setting, folder: Path, port: int) -> None:
    folder.mkdir(parents=True)
    root = folder.parent / "pki/root.pem"
    arguments = ["--root-certificates", root, "--superlink", f"localhost:{port}", "--port", free_port()]
    node = start("flower-supernode", *arguments, env=environment(setting, folder))
    try:
        sys.stdin.readline()
    finally:
        node.terminate()
        node.wait()
