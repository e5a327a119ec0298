"""Wardround's own side of `rounds.py`: a hub process and a process for each site, as in a hospital, over FLARE."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from _rounds import LARGE, Setting, changed, model_of, told

from wardround.federation.engine import (
    LegRequest,
    LegStart,
    Next,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
)
from wardround.federation.provisioning import Identity
from wardround.foundation.certificates import Root, make_key, make_request, pem
from wardround.foundation.files import ObjectStore, write_whole
from wardround.foundation.stored import Held, Stored
from wardround.learning.arrays import difference, header_of, to_bytes
from wardround.learning.wire import packed, packing


def identities(folder: Path, sites: tuple[str, ...]) -> None:
    """A root, the hub's certificate and one for each site, as PEM files in `folder`."""
    now, lasts = datetime.now(UTC), timedelta(days=1)
    folder.mkdir(parents=True)
    root = Root.make("benchmark", folder / "root.pem", folder / "root.key", now)
    key = make_key(folder / "hub.key")
    hub = root.issue_server(key.public_key(), "hub", ["localhost", "127.0.0.1"], now, lasts)
    write_whole(folder / "hub.crt", pem(hub).encode())
    for site in sites:
        request = make_request(make_key(folder / f"{site}.key"), site)
        write_whole(folder / f"{site}.crt", pem(root.issue_site(request, site, now, lasts)).encode())


def identity(folder: Path, name: str) -> Identity:
    return Identity(name, folder / f"{name}.key", folder / f"{name}.crt", folder / "root.pem")


def first_model(setting: Setting, file: Path) -> Held:
    model = model_of(setting.megabytes)
    if setting.megabytes < LARGE:
        return to_bytes(model)
    with file.open("wb") as whole:
        whole.write(header_of({name: array.shape for name, array in model.items()}))
        whole.writelines(model[name].data.cast("B") for name in sorted(model))
    return Stored.of(file)


class Hub:
    """A coordinator that keeps every aggregate in an object store, flushed, as the hub does."""

    def __init__(self, setting: Setting, objects: ObjectStore) -> None:
        self.setting, self.objects = setting, objects
        self.current = objects.put(first_model(setting, objects.root.parent / "model"))
        self.started = time.monotonic()

    def begin(self, leg_id: str) -> LegStart:
        told("begun", seconds=time.monotonic() - self.started)
        return LegStart(
            run_id="run",
            leg_id=leg_id,
            first_round=1,
            total_rounds=self.setting.rounds,
            sites=self.setting.sites,
            quorum=len(self.setting.sites),
            deadline_seconds=600,
            plan={},
            arrays=self.objects.held(self.current),
            update_kind="delta",
        )

    def admit(self, header: UpdateHeader) -> None:
        """Every update."""

    def commit(self, result: RoundResult) -> Next:
        self.current = self.objects.put(result.arrays)
        told(
            "round",
            number=result.round,
            at=time.monotonic(),
            up=sum(site.bytes_up for site in result.sites),
            down=sum(site.bytes_down for site in result.sites),
        )
        return Next(True)


def serve_hub(setting: Setting, folder: Path, port: int) -> None:
    from wardround.federation.flare.hub import FlareEngine

    folder.mkdir(parents=True, exist_ok=True)
    hub = Hub(setting, ObjectStore(folder / "objects"))
    engine = FlareEngine(folder / "engine", identity(folder.parent / "pki", "hub"), hub, port=port)
    engine.start()
    try:
        while len(engine.connected()) < len(setting.sites):
            time.sleep(0.05)
        told("ready")
        sys.stdin.readline()
        hub.started = time.monotonic()
        told("started", at=hub.started)
        engine.start_leg(LegRequest("run.1", "run", setting.sites, len(setting.sites)))
        status = engine.wait("run.1", 3600)
        told("ended", state=status.state, reason=status.reason)
    finally:
        engine.close()


class Site:
    """Answers each round with the same changes, packed as a node packs them."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.update, self.over = update_of(setting, folder), threading.Event()

    def take_part(self, task: RoundTask) -> RoundUpdate:
        told("step", number=task.round, at=time.monotonic())
        update = self.update
        if isinstance(update, Stored):
            # Whoever is given a file removes it.
            name = update.path.with_name(f"update-{task.round}")
            os.link(update.path, name)
            update = Stored(name, update.size)
        return RoundUpdate(1.0, {}, 1, task.round, update)

    def finish(self, leg_id: str, reason: str) -> None:
        self.over.set()

    def abort(self, leg_id: str, reason: str) -> None:
        self.over.set()


def update_of(setting: Setting, folder: Path) -> Held:
    """What the site of this folder's name sends: of a large model in a file."""
    model, seed = model_of(setting.megabytes), setting.sites.index(folder.name)
    if setting.megabytes < LARGE:
        return packed(difference(changed(model, seed), model), "lossless")
    moved = np.random.default_rng(seed).standard_normal(next(iter(model.values())).shape, np.float32)
    with (folder / "update").open("wb") as file:
        file.writelines(packing(dict.fromkeys(model, moved * np.float32(1e-3)), "lossless"))
    return Stored.of(folder / "update")


def serve_site(setting: Setting, folder: Path, port: int) -> None:
    from wardround.federation.remote import ParticipantPort

    folder.mkdir(parents=True)
    participant = ParticipantPort(Site(setting, folder), folder / "participant.port")
    try:
        be_site(folder, port)
    finally:
        participant.close()


def be_site(folder: Path, port: int) -> None:
    """A site of the engine, until the benchmark says a line."""
    from wardround.federation.flare.site import FlareSite

    site = FlareSite(
        folder / "engine",
        identity(folder.parent / "pki", folder.name),
        host="127.0.0.1",
        port=port,
        hub_name="hub",
        participant_port=folder / "participant.port",
    )
    site.start()
    try:
        sys.stdin.readline()
    finally:
        site.stop()
