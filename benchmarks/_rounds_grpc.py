"""Bare gRPC's side of `rounds.py`: one call a round, the model up and the mean down in messages of 1 MiB, over TLS."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from _rounds import Setting, changed, model_of, told
from safetensors.numpy import load, save

PIECE = 1024 * 1024
METHOD = "/benchmark.Rounds/Take"


def pieces(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, max(1, len(data)), PIECE):
        yield bytes(view[start : start + PIECE])


class Rounds:
    """Sums what comes, and answers every site of a round when all of them are there."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.model = save(model_of(setting.megabytes))
        self.sums: dict[str, Any] = {}
        self.came = self.number = self.up = 0
        self.changed = threading.Condition()
        self.over = threading.Event()

    def take(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        data = b"".join(requests)
        with self.changed:
            mine = self.number
            self.up += len(data)
            if mine:
                for name, array in load(data).items():
                    before = self.sums.get(name)
                    self.sums[name] = array.astype(np.float64) if before is None else np.add(before, array, out=before)
            self.came += 1
            if self.came == len(self.setting.sites):
                if mine:
                    self.model = save(
                        {name: (array / self.came).astype(np.float32) for name, array in self.sums.items()}
                    )
                    told("round", number=mine, at=time.monotonic(), up=self.up, down=self.came * len(self.model))
                self.sums, self.came, self.up, self.number = {}, 0, 0, mine + 1
                self.changed.notify_all()
            else:
                self.changed.wait_for(lambda: self.number > mine)
        if self.number > self.setting.rounds:
            self.over.set()
        yield from pieces(self.model)


def serve_hub(setting: Setting, folder: Path, port: int) -> None:
    pki = folder.parent / "pki"
    rounds = Rounds(setting)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2 * len(setting.sites)))
    handler = grpc.stream_stream_rpc_method_handler(rounds.take)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("benchmark.Rounds", {"Take": handler})])
    root = (pki / "root.pem").read_bytes()
    pair = ((pki / "hub.key").read_bytes(), (pki / "hub.crt").read_bytes())
    credentials = grpc.ssl_server_credentials([pair], root_certificates=root, require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    server.start()
    told("listening")
    # The sites' first call is answered when all of them have made it.
    told("ready")
    sys.stdin.readline()
    told("started", at=time.monotonic())
    rounds.over.wait()
    told("ended")
    sys.stdin.readline()
    server.stop(None)


def serve_site(setting: Setting, folder: Path, port: int) -> None:
    pki = folder.parent / "pki"
    credentials = grpc.ssl_channel_credentials(
        (pki / "root.pem").read_bytes(),
        (pki / f"{folder.name}.key").read_bytes(),
        (pki / f"{folder.name}.crt").read_bytes(),
    )
    update = save(changed(model_of(setting.megabytes), setting.sites.index(folder.name)))
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        take = channel.stream_stream(METHOD)
        b"".join(take(iter([b""])))
        for number in range(1, setting.rounds + 1):
            told("step", number=number, at=time.monotonic())
            b"".join(take(pieces(update)))
    sys.stdin.readline()
