"""Wardround's own side of `rounds.py`: a hub process and a process for each site, as in a hospital, over FLARE."""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _rounds import Setting, changed, model_of, told

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
from wardround.learning.arrays import difference, to_bytes
from wardround.learning.wire import packed


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


class Hub:
    """A coordinator that keeps every aggregate in an object store, flushed, as the hub does."""

    def __init__(self, setting: Setting, objects: ObjectStore) -> None:
        self.setting, self.objects = setting, objects
        self.current = objects.put(to_bytes(model_of(setting.megabytes)))
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

    def __init__(self, name: str, setting: Setting) -> None:
        model = model_of(setting.megabytes)
        self.update = packed(difference(changed(model, seed=setting.sites.index(name)), model), "lossless")
        self.over = threading.Event()

    def take_part(self, task: RoundTask) -> RoundUpdate:
        told("step", number=task.round, at=time.monotonic())
        return RoundUpdate(1.0, {}, 1, task.round, self.update)

    def finish(self, leg_id: str, reason: str) -> None:
        self.over.set()

    def abort(self, leg_id: str, reason: str) -> None:
        self.over.set()


def serve_site(setting: Setting, folder: Path, port: int) -> None:
    from wardround.federation.remote import ParticipantPort

    folder.mkdir(parents=True)
    participant = ParticipantPort(Site(folder.name, setting), folder / "participant.port")
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
