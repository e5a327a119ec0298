"""A receiver that drops what it takes, as a process of its own: `python -m tests.integration.wire_child`.

Prints its port once it listens; ends when its standard input does.
"""

from __future__ import annotations

import sys

from wardround.dicom.network import Accepted, RefusedStorage, StorageReceiver, StoreHeader


class Drop:
    """Takes every object but those whose UID begins with 9, and keeps nothing."""

    def open(self, header: StoreHeader) -> Drop | RefusedStorage:
        return RefusedStorage(0xA700) if header.sop_instance_uid.startswith("9") else self

    def write(self, piece: memoryview | bytes) -> None:
        return None

    def commit(self) -> Accepted:
        return Accepted()

    def abandon(self) -> None:
        return None


if __name__ == "__main__":
    with StorageReceiver(["RESEARCH"], landing=Drop()) as receiver:
        print(receiver.port, flush=True)
        sys.stdin.read()
