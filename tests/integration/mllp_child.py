"""A node's MLLP service whose loads never end, to be killed: `python -m tests.integration.mllp_child HOME`.

Prints the port once it listens, and `loading` each time that a load has begun.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from wardround.foundation.clock import now
from wardround.node.home import NodeHome
from wardround.node.records.mllp.service import Mllp
from wardround.node.records.row import Reader


def main(home: Path) -> None:
    def load(reader: Reader, path: Path) -> None:
        for _ in reader(path):
            pass
        print("loading", flush=True)
        threading.Event().wait()

    service = Mllp(NodeHome(home), load, now)
    service.start()
    print(service.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
