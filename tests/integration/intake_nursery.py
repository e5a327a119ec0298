"""Receivers by the hundred, each a process to be killed: `python -m tests.integration.intake_nursery HOME COUNT`.

Everything is imported once; each line on standard input has it fork a receiver on HOME, as a restarted node would
have one. It prints the receiver's process id, and `dead` when that has ended; in between the receiver prints, once it
has recovered and listens, its port, how many objects it found and how many files it removed. With a COUNT above 1 it is
what a node has at its door by default: it listens, and so many processes of their own receive.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.front_door import FrontDoor, studies

from wardround.dicom.network import StorageReceiver
from wardround.foundation.database import Database
from wardround.node.receive import bay
from wardround.node.receive.clerk import House
from wardround.node.receive.receivers import Receivers
from wardround.node.receive.reception import Reception
from wardround.node.receive.route import by_called_title
from wardround.node.receive.terms import Terms, WireTerms

SECRET = bytes(range(32))
ROUTES = by_called_title({"RESEARCH": "research"})


def tell(line: str) -> None:
    """One write, so that a receiver killed in the middle of its line leaves none of it."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def reception(home: Path) -> Reception:
    return Reception(
        Database(f"sqlite:///{home / 'node.db'}", migrations="wardround.node.migrations"),
        quarantine=home / "quarantine",
        clinical=home / "clinical",
        secret=SECRET,
        routes=ROUTES,
        reserve_bytes=0,
    )


def receiving(door: Reception, home: Path, count: int) -> StorageReceiver | Receivers:
    if count == 1:
        return StorageReceiver(["RESEARCH"], landing=door)
    terms = Terms(WireTerms(("RESEARCH",)), home / "quarantine", SECRET, ROUTES, reserve_bytes=0)
    return Receivers(count, terms, House(door.index, door.learn, door.quay.count, door.take_over))


def serve(home: Path, count: int) -> None:
    door = reception(home)
    recovered = door.recover()
    with receiving(door, home, count) as receiver:
        tell(f"{receiver.port} {recovered.registered} {recovered.removed}")
        signal.pause()


def main(home: Path, count: int) -> None:
    # A file system that has just lost ten thousand empty files makes new ones slowly.
    bay.SLOTS = 8
    # What is imported when it is first needed is imported now, so that a receiver is there within milliseconds.
    with tempfile.TemporaryDirectory() as scratch:
        door = FrontDoor(Path(scratch))
        door.give(studies()[0].slices[0])
        door.close()
    for _ in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            try:
                serve(home, count)
            finally:
                os._exit(1)
        tell(str(child))
        os.waitpid(child, 0)
        tell("dead")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
