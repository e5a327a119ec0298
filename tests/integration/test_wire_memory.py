"""A receiver's memory: it doesn't grow with the size of an object, nor with what is sent to fill it."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import wire_lab as lab
from tests.wire_lab import Caller, p_data, value

from wardround.dicom.network import Accepted, Peer, Received, StorageReceiver, WholeObjects

GIGABYTE = 1 << 30
ROOM_KB = 8 * 1024


@dataclass
class Child:
    port: int
    pid: int

    def peak_kb(self) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.fixture
def child() -> Iterator[Child]:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc to see a process's memory")
    command = [sys.executable, "-m", "tests.integration.wire_child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        made = Child(int(process.stdout.readline()), process.pid)
        with Caller(made.port) as caller:
            caller.associate()
            caller.send(lab.store(bytes(1 << 20), size=16000))
            assert caller.status() == 0
        yield made
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def stream(caller: Caller, total: int) -> None:
    pdu = p_data(value(1, 0, bytes(131066)))
    block = pdu * 8
    for _ in range(total // (8 * 131066)):
        caller.send(block)
    caller.send(p_data(value(1, 2, b"")))


@pytest.mark.parametrize("uid", ["1.2.3", "9.9.9"], ids=["taken", "refused"])
def test_an_object_of_a_gigabyte_passes_through(child: Child, uid: str) -> None:
    before = child.peak_kb()
    with Caller(child.port) as caller:
        caller.connection.settimeout(120)
        caller.associate()
        caller.send(p_data(value(1, 3, lab.store_rq(uid))))
        stream(caller, GIGABYTE)
        assert caller.status() == (0 if uid == "1.2.3" else 0xA700)
    assert child.peak_kb() - before < ROOM_KB


def test_announced_lengths_take_no_memory(child: Child) -> None:
    before = child.peak_kb()
    announced = [
        struct.pack(">BBL", lab.RQ, 0, (1 << 18) - 1) + lab.associate_rq()[6:],
        lab.associate_rq() + struct.pack(">BBL", lab.DATA, 0, 131072) + struct.pack(">LBB", 131068, 1, 1),
        lab.associate_rq() + lab.pdu(lab.DATA, struct.pack(">LBB", 0xFFFFFFFF, 1, 0)),
        lab.associate_rq() + struct.pack(">BBL", lab.AC, 0, 0xFFFFFFFF),
    ]
    callers = [Caller(child.port) for _ in range(60)]
    for number, caller in enumerate(callers):
        caller.send(announced[number % len(announced)])
    with Caller(child.port) as other:
        other.associate()
    for caller in callers:
        caller.connection.close()
    # Each association has a buffer of 256 KiB and a thread.
    assert child.peak_kb() - before < 60 * 400 + ROOM_KB


def test_endless_fragments_of_a_command_take_no_memory(child: Child) -> None:
    before = child.peak_kb()
    with Caller(child.port) as caller:
        caller.associate()
        with pytest.raises((OSError, AssertionError)):
            for _ in range(1000):
                caller.send(p_data(*[value(1, 1, b"")] * 10_000) + p_data(value(1, 1, bytes(16_000))))
            caller.status()
    assert child.peak_kb() - before < ROOM_KB


def test_a_sink_of_whole_objects_refuses_what_it_cannot_hold() -> None:
    taken: list[str] = []

    def sink(received: Received) -> Accepted:
        taken.append(received.sop_instance_uid)
        return Accepted()

    with StorageReceiver(["RESEARCH"], landing=WholeObjects(sink, largest=100_000)) as receiver:
        with Caller(receiver.port) as caller:
            caller.associate()
            caller.send(lab.store(bytes(100_001), "1.2.1"))
            assert caller.status() == 0xA700
            caller.send(lab.store(bytes(100_000), "1.2.2"))
            assert caller.status() == 0
        assert Peer("127.0.0.1", receiver.port, "RESEARCH").port == receiver.port
    assert taken == ["1.2.2"]
