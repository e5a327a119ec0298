"""Frames that are sent without a copy are the same frames, and what they carry is no copy where it arrives."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.fuel.f3.drivers.socket_conn import SocketConnection
from nvflare.fuel.f3.sfm.prefix import Prefix
from nvflare.fuel.f3.sfm.sfm_conn import SfmConnection

from wardround.federation.flare.frames import LARGE, spare_copies


@pytest.fixture
def spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SfmConnection, "send_frame", SfmConnection.send_frame)
    monkeypatch.setattr(SocketConnection, "read_frame", SocketConnection.read_frame)
    spare_copies()


def sent(payload: bytes | memoryview | None) -> bytes:
    out: list[bytes] = []
    connection = SfmConnection(SimpleNamespace(send_frame=lambda part: out.append(bytes(part)), name="c"), None)
    connection.send_data(7, 3, {"topic": "leg"}, payload)
    return b"".join(out)


PAYLOADS: list[bytes | memoryview | None] = [None, b"few", bytes(LARGE), bytes(range(256)) * 8192]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: "none" if one is None else str(len(one)))
def test_the_bytes_of_a_frame_are_flares(payload: bytes | memoryview | None, request: pytest.FixtureRequest) -> None:
    by_flare = sent(payload)
    request.getfixturevalue("spared")
    assert sent(payload) == by_flare
    if payload is not None:
        assert sent(memoryview(payload)) == by_flare


@pytest.mark.usefixtures("spared")
def test_a_large_frame_arrives_as_a_view_of_what_was_read() -> None:
    here, there = socket.socketpair()
    frame = sent(bytes(range(256)) * 8192)
    sender = threading.Thread(target=here.sendall, args=(frame,), daemon=True)
    sender.start()
    reader: Any = SimpleNamespace(sock=there, name="c")
    reader.read_into = lambda *where: SocketConnection.read_into(reader, *where)
    got = SocketConnection.read_frame(reader)
    sender.join(30)
    here.close()
    there.close()
    assert isinstance(got, memoryview) and got == frame
    prefix = Prefix.from_bytes(got)
    assert (prefix.length, prefix.app_id) == (len(frame), 7)
    assert got[-256:].obj is got.obj
