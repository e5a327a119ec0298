"""Receivers killed with -9 at moments that chance picks: what was acknowledged is there, once.

Two hundred of them receive in the process that has the index; a few are what a node has by default, several processes
behind its port, of which now one dies and now all.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import psutil
import pydicom
from sqlalchemy import select
from tests import wire_lab as lab
from tests.front_door import data_set, studies
from tests.intake_lab import until
from tests.integration.intake_nursery import SECRET

from wardround.foundation.database import Database
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.tables import ReceivedInstance

ROOT = Path(__file__).parents[2]
KILLS = 200
OBJECTS = 6
"""For each receiver; what wasn't acknowledged goes first, then what is new, then one that was, as from a PACS that lost
its notes."""
AT_ITS_START = 0.2
"""Of so many kills the moment lies before the receiver listens, while it recovers."""
REGISTERS_WITHIN = 0.1
"""Seconds after the last object in which its registration may be hit."""
MEASURED = 3
"""Receivers that aren't killed, whose times say what the moments are picked from."""
ASSOCIATE = lab.associate_rq(contexts=((1, lab.MR, (lab.EXPLICIT,)),))


@cache
def template() -> bytes:
    one = pydicom.dcmread(BytesIO(studies()[0].slices[0]))
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(uid_of(0))
    one.Rows, one.Columns, one.PixelData = 128, 160, bytes(2 * 128 * 160)
    buffer = BytesIO()
    one.save_as(buffer)
    return data_set(buffer.getvalue())


def uid_of(number: int) -> str:
    return f"1.2.826.0.1.3680043.10.1.{number + 1_000_000}"


def instance(number: int) -> bytes:
    """A data set of forty kilobytes, which travel in several PDUs; no two of them are alike."""
    made = template().replace(uid_of(0).encode(), uid_of(number).encode())
    return made[:-40_000] + random.Random(number).randbytes(40_000)  # noqa: S311 - pixels


class Nursery:
    """Where receivers are born, and killed."""

    def __init__(self, home: Path, receivers: int = 1) -> None:
        command = [sys.executable, "-W", "error::UserWarning", "-m", "tests.integration.intake_nursery"]
        self._process = subprocess.Popen(
            [*command, str(home), str(receivers)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._child = 0

    def bear(self) -> int:
        """A receiver's process id; it recovers now."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._child = int(self._read())
        return self._child

    def end(self) -> None:
        """Kill the receiver that was born last."""
        os.kill(self._child, signal.SIGKILL)
        self.buried()

    def listening(self) -> tuple[int, int] | None:
        """The port of the receiver that was born last, and how many objects it found; None if it is dead."""
        words = self._read().split()
        return (int(words[0]), int(words[1])) if words != ["dead"] else None

    def buried(self) -> None:
        """Wait until the receiver that was born last is dead."""
        assert self._read().split() == ["dead"]

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def apart(self) -> list[psutil.Process]:
        """The processes that receive for the one that was born last."""
        return psutil.Process(self._child).children()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._child or self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Pacs:
    """Knows what it sent, and what it was told is stored."""

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}
        self.acknowledged: set[str] = set()

    def next(self, rng: random.Random) -> dict[str, bytes]:
        waiting = [uid for uid in self.sent if uid not in self.acknowledged]
        again = rng.sample(sorted(self.acknowledged), 1) if self.acknowledged else []
        while len(waiting) < OBJECTS:
            uid = uid_of(len(self.sent) + 1)
            self.sent[uid] = instance(len(self.sent) + 1)
            waiting.append(uid)
        return {uid: self.sent[uid] for uid in (*waiting[:OBJECTS], *again)}

    def deliver(self, port: int, objects: Mapping[str, bytes]) -> None:
        """Send on one association, until all are acknowledged or the connection is gone."""
        try:
            with lab.Caller(port) as caller:
                caller.send(ASSOCIATE)
                if caller.read() is None:
                    return
                for uid, data in objects.items():
                    caller.send(lab.store(data, uid, size=8192))
                    answer = caller.read()
                    if answer is None:
                        return
                    assert lab.number_of(lab.elements_of(answer[1][6:]), 0x0900) == 0
                    self.acknowledged.add(uid)
        except ConnectionError:
            return


class Shelves:
    """What a restarted node has, compared with what its PACS knows."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._database = Database(f"sqlite:///{home / 'node.db'}", migrations="wardround.node.migrations")
        self._database.upgrade()
        maker = KeyMaker(SECRET)
        self._key = cache(lambda uid: maker.key("instance", uid))
        self._compared: set[str] = set()

    def have(self, pacs: Pacs) -> bool:
        """Whether the index has all that was acknowledged."""
        with self._database.reading() as session:
            received = set(session.scalars(select(ReceivedInstance.instance_key)))
        return {self._key(uid) for uid in set(pacs.acknowledged)} <= received

    def check(self, pacs: Pacs, *, every_byte: bool = False) -> None:
        with self._database.reading() as session:
            columns = (ReceivedInstance.instance_key, ReceivedInstance.digest, ReceivedInstance.file)
            rows = session.execute(select(*columns)).all()
        received = {row.instance_key: row for row in rows}
        assert len(received) == len(rows), "twice"
        assert {self._key(uid) for uid in pacs.acknowledged} <= received.keys(), "acknowledged and lost"
        quarantine = self._home / "quarantine"
        for uid, data in pacs.sent.items():
            row = received.pop(self._key(uid), None)
            if row is not None and (every_byte or uid not in self._compared):
                assert row.digest == sha256(lab.EXPLICIT.encode() + data).hexdigest()
                assert data_set((quarantine / row.file).read_bytes()) == data, "half"
                self._compared.add(uid)
        assert not received, "nobody sent it"
        # Not `rglob`: of a thousand files, two hundred times over, what it makes of each takes longer than the rest.
        walked = ((folder, name) for folder, _, names in os.walk(quarantine) for name in names if name != ".lock")
        found = [f"{folder}/{name}" for folder, name in walked]
        kept = {file.removeprefix(f"{quarantine}/") for file in found if Path(file).stat().st_size}
        assert kept == {row.file for row in rows}, "left behind"

    def close(self) -> None:
        self._database.close()


def chance() -> random.Random:
    seed = int(os.environ.get("WARDROUND_SEED") or secrets.randbits(32))
    print(f"the moments are those of WARDROUND_SEED={seed}")
    return random.Random(seed)  # noqa: S311 - moments to kill at, not a secret


def test_two_hundred_receivers_killed_at_random_lose_nothing_acknowledged(tmp_path: Path) -> None:
    rng = chance()
    pacs, shelves, nursery = Pacs(), Shelves(tmp_path), Nursery(tmp_path)
    starting = sending = 60.0
    recovered = died_early = 0
    try:
        for number in range(MEASURED + KILLS):
            born = time.monotonic()
            child = nursery.bear()
            early = number >= MEASURED and rng.random() < AT_ITS_START
            kill = threading.Timer(rng.uniform(0, starting), os.kill, (child, signal.SIGKILL))
            if early:
                kill.start()
            listening = nursery.listening()
            if listening is None:
                died_early += 1
                continue
            port, found = listening
            recovered += found
            listens = time.monotonic()
            if not early:
                shelves.check(pacs)
                moment = rng.choice((rng.uniform(0, sending), sending + rng.uniform(0, REGISTERS_WITHIN)))
                kill = threading.Timer(moment, os.kill, (child, signal.SIGKILL))
            objects, sent_at = pacs.next(rng), time.monotonic()
            if number >= MEASURED and not early:
                kill.start()
            pacs.deliver(port, objects)
            if number < MEASURED:
                starting, sending = min(starting, listens - born), min(sending, time.monotonic() - sent_at)
                os.kill(child, signal.SIGKILL)
            nursery.buried()
        assert recovered, "some had landed and weren't in the index yet"
        assert died_early, "some died while they recovered"
        nursery.bear()
        listening = nursery.listening()
        assert listening is not None
        pacs.deliver(listening[0], pacs.sent)
        assert pacs.acknowledged == pacs.sent.keys()
        # One more restart, for what the index had not learnt yet.
        nursery.end()
        nursery.bear()
        assert nursery.listening() is not None
        shelves.check(pacs, every_byte=True)
    finally:
        nursery.close()
        shelves.close()


NODES = 3
ENDED_EACH = 2
"""Receiving processes that are killed of each node, before all of it is."""


@contextmanager
def killed_meanwhile(process: psutil.Process, after: float) -> Iterator[None]:
    """Kill a process so many seconds from now; it is dead when the block ends."""
    kill = threading.Timer(after, process.kill)
    kill.start()
    yield
    kill.join()
    process.wait(60)


def at_once(pacs: Pacs, port: int, objects: Mapping[str, bytes]) -> None:
    """Send on two associations, which go to two processes as long as both are there."""
    uids = list(objects)
    halves = [{uid: objects[uid] for uid in uids[start::2]} for start in (0, 1)]
    with ThreadPoolExecutor(2) as senders:
        list(senders.map(lambda half: pacs.deliver(port, half), halves))


def until_all_are_taken(pacs: Pacs, port: int) -> None:
    """Whoever was cut off comes again, as often as it takes."""

    def all_are_taken() -> bool:
        pacs.deliver(port, {uid: data for uid, data in pacs.sent.items() if uid not in pacs.acknowledged})
        return pacs.acknowledged == pacs.sent.keys()

    until(all_are_taken)


def test_what_several_processes_acknowledged_outlives_each_of_them_and_their_node(tmp_path: Path) -> None:
    rng = chance()
    pacs, shelves, nursery = Pacs(), Shelves(tmp_path), Nursery(tmp_path, receivers=2)
    sending = 60.0
    try:
        for number in range(NODES + 1):
            node = psutil.Process(nursery.bear())
            listening = nursery.listening()
            assert listening is not None
            port, _ = listening
            shelves.check(pacs)
            if not number:
                began = time.monotonic()
                at_once(pacs, port, pacs.next(rng))
                sending = time.monotonic() - began
            for _ in range(ENDED_EACH if number < NODES else 0):
                with killed_meanwhile(rng.choice(nursery.apart()), rng.uniform(0, sending)):
                    at_once(pacs, port, pacs.next(rng))
                until_all_are_taken(pacs, port)
                until(lambda: shelves.have(pacs))
                until(lambda: len(nursery.apart()) == 2)
            orphans = nursery.apart()
            with killed_meanwhile(node, rng.uniform(0, sending)):
                at_once(pacs, port, pacs.next(rng))
            nursery.buried()
            _, alive = psutil.wait_procs(orphans, timeout=60)
            assert not alive, "none outlives its node"
        nursery.bear()
        assert nursery.listening() is not None
        shelves.check(pacs, every_byte=True)
    finally:
        nursery.close()
        shelves.close()
