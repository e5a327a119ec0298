"""A receiver in a process of its own: it takes connections over from the node, and lands what comes through them.

It is started by `receivers`, loads neither the database nor pydicom, and ends when the node does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping

from wardround.dicom.network_entrance import HandedOver
from wardround.dicom.network_seats import SharedSeats
from wardround.foundation.logs import log_through
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.distant import DistantDesk, DistantIndex, Told
from wardround.node.receive.line import Line
from wardround.node.receive.quay import Quay
from wardround.node.receive.route import StudyPath
from wardround.node.receive.terms import Terms

SELDOM = 10_000, 20, 20
"""Thresholds of the collection of cycles in a receiving process (`gc.set_threshold`)."""


def main(line_end: int, connections: int, seats: int) -> None:
    """Serve until the node says `stop`, or its end of the line is closed."""
    import gc
    import resource

    # A terminal's Ctrl-C, and a service manager's SIGTERM, go to all processes; the node decides when this one ends.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    # What can crash the interpreter may hold a header: no dump of this process's memory is left anywhere.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers: dict[str, Callable[..., object]] = {}
    # What is acknowledged lies sealed in the bay, so that nothing is left to do where nobody is left to tell.
    line = Line(socket.socket(fileno=line_end), answers, ended=lambda: os._exit(0))
    line.start()
    log_through(lambda level, name, text: line.tell("log", level, name, text))
    terms: Terms = line.call("terms")
    closed: dict[StudyPath, str] = {}
    quay = Quay(
        DistantIndex(line),
        KeyMaker(terms.secret),
        terms.routes,
        quarantine=terms.quarantine,
        durable=terms.durable,
        reserve_bytes=terms.reserve_bytes,
        patience=terms.patience,
        closed=closed.get,
        noted=Told(line).note if terms.notes else None,
    )
    quay.prepare()
    receiver = terms.wire.receiver(
        quay,
        commitments=DistantDesk(line) if terms.commits else None,
        entrance=HandedOver(socket.socket(fileno=connections), terms.wire.port),
        seats=SharedSeats(seats, terms.wire.associations),
    )

    def close_paths(reasons: Mapping[StudyPath, str]) -> None:
        for path in StudyPath:
            if path in reasons:
                closed[path] = reasons[path]
            else:
                closed.pop(path, None)

    def stop() -> None:
        receiver.stop()
        quay.close()
        os._exit(0)

    answers.update({"settle": quay.settle, "learn": quay.learn, "closed": close_paths, "stop": stop})
    # Entries wait by the thousand; to look through all of them for cycles again and again takes time for nothing.
    gc.freeze()
    gc.set_threshold(*SELDOM)
    receiver.start()
    line.tell("ready")
    while True:
        signal.pause()


if __name__ == "__main__":
    # The classes that travel must be those of the module by its name, not of `__main__`.
    from wardround.node.receive.receiver import main as serve

    serve(*map(int, sys.argv[1:]))
