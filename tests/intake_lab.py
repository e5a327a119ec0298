"""A node's front door as the node runs it: settings in a file, a receiver, its threads."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wardround.dicom.network import Peer
from wardround.foundation.clock import now
from wardround.node.deidentify.crew import Alone
from wardround.node.home import NodeHome
from wardround.node.intake import Intake

HEAD = 'site = "north"\nfederation = "demo"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """De-identify in this process: starting others takes seconds."""
    monkeypatch.setattr(
        "wardround.node.deidentify.department.Processes", lambda recipe, *_, **__: Alone(recipe.bench())
    )


class Node:
    """A home and its running intake."""

    def __init__(self, home: NodeHome, intake: Intake) -> None:
        self.home = home
        self.intake = intake
        dicom = home.settings.dicom
        self.research = Peer("127.0.0.1", dicom.port, dicom.ae_title)
        self.clinic = Peer("127.0.0.1", dicom.port, dicom.clinic_ae_title)


@contextmanager
def serving(folder: Path, *, dicom: str = "", rest: str = "", port: int = 0, receivers: int = 1) -> Iterator[Node]:
    """An intake that runs under these settings: lines of `[dicom]`, and other tables. Again on a folder: a restart.

    By default it receives in this process, which takes no time to start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = f"{HEAD}[dicom]\nport = {port or free_port()}\nreserve_mb = 0\nreceivers = {receivers}\n{dicom}\n{rest}"
    (folder / "node.toml").write_text(lines)
    home = NodeHome(folder)
    home.database.upgrade()
    intake = Intake(home, now)
    intake.start()
    try:
        yield Node(home, intake)
    finally:
        intake.stop()
        home.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it didn't come about in time"
        time.sleep(0.02)
