"""Which content of each instance is known, so that the sender of another one can be told at once.

What is decided here is a courtesy to the sender: the register decides for good, when it writes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from wardround.node.receive.arrival import Entry, Keys

MOST_INSTANCES = 20_000
"""Instances of recent studies that are remembered, about 4 MB; a longer study is forgotten and loaded again."""
_SEVERAL = -1


class Claims:
    """Which content of each instance is on its way into the index, so that two don't both get in at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, tuple[str, int]] = {}

    def take(self, entry: Entry) -> bool:
        """Claim an instance; False where another content of it is on its way."""
        key, digest = entry.keys.instance, entry.keys.digest
        with self._lock:
            claimed, count = self._claims.get(key, (digest, 0))
            if claimed == digest:
                self._claims[key] = digest, count + 1
            return claimed == digest

    def release(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                key = entry.keys.instance
                claimed, count = self._claims.get(key, ("", 0))
                if claimed != entry.keys.digest or entry.file is None:
                    continue
                if count > 1:
                    self._claims[key] = claimed, count - 1
                else:
                    del self._claims[key]


class Contents:
    """The contents of the studies that are coming in, loaded from the index once a study.

    Args:
        load: the instance keys and digests that the index has of a study, by its key.
    """

    def __init__(self, load: Callable[[str], Iterable[tuple[str, str]]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._studies: OrderedDict[str, dict[bytes, int]] = OrderedDict()
        self._count = 0

    def differs(self, keys: Keys) -> bool:
        """Whether another content of this instance was seen, so that the index has to be asked.

        Raises:
            whatever `load` raises.
        """
        with self._lock:
            known = self._studies.get(keys.study)
            if known is None:
                known = {}
                for instance, digest in self._load(keys.study):
                    _note(known, instance, digest)
                self._studies[keys.study] = known
                self._count += len(known)
            self._studies.move_to_end(keys.study)
            before = len(known)
            same = _note(known, keys.instance, keys.digest)
            self._count += len(known) - before
            while self._count > MOST_INSTANCES:
                _, forgotten = self._studies.popitem(last=False)
                self._count -= len(forgotten)
            return not same


def _note(known: dict[bytes, int], instance: str, digest: str) -> bool:
    """Remember a content; False where another one is known."""
    key, content = bytes.fromhex(instance), int(digest[:15], 16)
    if known.setdefault(key, content) == content:
        return True
    known[key] = _SEVERAL
    return False
