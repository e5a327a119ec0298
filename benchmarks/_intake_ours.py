"""The front door alone, as a node on two cores has it: `_intake_ours.py FOLDER PORT {flushed,unflushed}`.

The receivers with their landing, and the index; no hub, no de-identification.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from wardround.foundation.database import Database
from wardround.node.receive.clerk import House
from wardround.node.receive.receivers import Receivers
from wardround.node.receive.reception import Reception
from wardround.node.receive.route import by_called_title
from wardround.node.receive.terms import Terms, WireTerms

TITLE = "WIRE"
RECEIVERS = 2


def main(folder: Path, port: int, *, durable: bool) -> None:
    database = Database(f"sqlite:///{folder}/node.db", migrations="wardround.node.migrations")
    database.upgrade()
    routes, secret, quarantine = by_called_title({TITLE: "research"}), bytes(32), folder / "quarantine"
    reception = Reception(
        database, quarantine=quarantine, clinical=folder / "clinical", secret=secret, routes=routes, durable=durable
    )
    terms = Terms(WireTerms((TITLE,), port=port), quarantine, secret, routes, durable=durable)
    house = House(reception.index, reception.learn, reception.quay.count, reception.take_over)
    with Receivers(RECEIVERS, terms, house):
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), durable=sys.argv[3] == "flushed")
