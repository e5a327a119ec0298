"""A front door as a process of its own, to be killed: `python -m tests.integration.intake_child HOME`.

Prints its port once it listens, and `idle` whenever nothing is left to do; ends when its standard input does.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select
from tests.front_door import FrontDoor

from wardround.dicom.network import StorageReceiver
from wardround.foundation.clock import now
from wardround.node.receive.completion import complete_studies
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance


def main(home: Path) -> None:
    door = FrontDoor(home, workers=1)
    door.reception.recover()
    door.deidentification.start()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with StorageReceiver(["RESEARCH"], landing=door.reception) as receiver:
        print(receiver.port, flush=True)
        before = -1
        while not ended.wait(0.01):
            complete_studies(door.database, quiet=timedelta(0), now=now())
            door.deidentification.tick(3)
            with door.database.reading() as session:
                counts = dict(
                    session.execute(select(ReceivedInstance.state, func.count()).group_by(ReceivedInstance.state)).all()
                )
            done = counts.get(State.DEIDENTIFIED.value, 0)
            if done != before and not counts.get(State.RECEIVED.value, 0):
                before = done
                print("idle", done, flush=True)
    door.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
