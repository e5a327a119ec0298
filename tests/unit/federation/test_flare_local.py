"""FLARE's processes of one machine speak over a socket that no other user can reach."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from nvflare.fuel.f3.connection import Connection
from nvflare.fuel.f3.drivers.connector_info import ConnectorInfo, Mode
from nvflare.fuel.f3.drivers.net_utils import parse_url

from wardround.federation.flare import local
from wardround.federation.flare.local import LocalDriver

PATIENCE = 30.0


class Watch:
    """Notes connections and frames of one side."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lines: list[Connection] = []
        self.news = threading.Condition()

    def state_change(self, connection: Connection) -> None:
        with self.news:
            if connection not in self.lines:
                self.lines.append(connection)
                connection.register_frame_receiver(self)
            self.news.notify_all()

    def process_frame(self, frame: bytes) -> None:
        with self.news:
            self.frames.append(bytes(frame))
            self.news.notify_all()

    def wait(self, what: str) -> None:
        with self.news:
            assert self.news.wait_for(lambda: bool(getattr(self, what)), PATIENCE)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[str, Watch]]:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    folder.mkdir(parents=True, mode=0o700)
    url, _ = LocalDriver.get_urls("local", {"folder": str(folder)})
    driver, watch = LocalDriver(), Watch()
    driver.register_conn_monitor(watch)
    ready = threading.Event()
    made = local._Server

    class Server(made):  # type: ignore[misc, valid-type]  # the same, and says when it listens
        def service_actions(self) -> None:
            ready.set()

    local._Server = Server  # type: ignore[misc]
    info = ConnectorInfo("hub", driver, parse_url(url), Mode.PASSIVE, 0, 0, False, threading.Event())
    threading.Thread(target=driver.listen, args=(info,), daemon=True).start()
    try:
        assert ready.wait(PATIENCE)
        yield url, watch
    finally:
        local._Server = made  # type: ignore[misc]
        driver.shutdown()


def dialled(url: str) -> tuple[LocalDriver, Watch]:
    driver, watch = LocalDriver(), Watch()
    driver.register_conn_monitor(watch)
    info = ConnectorInfo("leg", driver, parse_url(url), Mode.ACTIVE, 0, 0, False, threading.Event())
    threading.Thread(target=driver.connect, args=(info,), daemon=True).start()
    return driver, watch


def test_frames_arrive_through_a_socket_however_deep_it_lies(listening: tuple[str, Watch]) -> None:
    url, hub = listening
    driver, leg = dialled(url)
    leg.wait("lines")

    frame = struct.pack(">I", 20 + 100_000) + bytes(12) + b"body" + bytes(100_000)
    leg.lines[0].send_frame(frame)

    hub.wait("frames")
    assert hub.frames == [frame]
    driver.shutdown()


def test_a_process_of_another_user_is_hung_up_on(listening: tuple[str, Watch], monkeypatch: pytest.MonkeyPatch) -> None:
    url, hub = listening
    monkeypatch.setattr(local.os, "getuid", lambda: 12345)
    with socket.socket(socket.AF_UNIX) as line, local._short(Path(parse_url(url)["path"])) as address:
        line.settimeout(PATIENCE)
        line.connect(address)
        assert line.recv(1) == b""
    assert hub.lines == []

    with pytest.raises(PermissionError):
        LocalDriver().connect(
            ConnectorInfo("leg", LocalDriver(), parse_url(url), Mode.ACTIVE, 0, 0, False, threading.Event())
        )
