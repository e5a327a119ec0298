"""Which content of each instance is known, so that the sender of another one can be told at once.

What is decided here is a courtesy to the sender: the register decides for good, when it writes. So contents are told
apart by their marks (`Landed.mark`), and a digest is made of what came only where the index has the instance already.
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
        self._claims: dict[str, tuple[int, int]] = {}

    def take(self, instance: str, mark: int) -> bool:
        """Claim an instance, by its key; False where another content of it is on its way."""
        with self._lock:
            claimed, count = self._claims.get(instance, (mark, 0))
            if claimed == mark:
                self._claims[instance] = mark, count + 1
            return claimed == mark

    def release(self, instance: str, mark: int) -> None:
        with self._lock:
            claimed, count = self._claims.get(instance, (_SEVERAL, 0))
            if claimed != mark:
                return
            if count > 1:
                self._claims[instance] = claimed, count - 1
            else:
                del self._claims[instance]

    def written(self, entries: Sequence[Entry]) -> None:
        """The index has these now."""
        for entry in entries:
            if entry.landed is not None:
                self.release(entry.keys.instance, entry.landed.mark)


class Contents:
    """The contents of the studies that are coming in, loaded from the index once a study.

    Args:
        load: the instance keys and digests that the index has of a study, by its key.
    """

    def __init__(self, load: Callable[[str], Iterable[tuple[str, str]]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        # A number for each content: of a digest's beginning, or the complement of a mark, which is below zero.
        self._studies: OrderedDict[str, dict[bytes, int]] = OrderedDict()
        self._count = 0

    def differs(self, keys: Keys, mark: int, digest: Callable[[], str]) -> bool:
        """Whether another content of this instance was seen, so that the index has to be asked.

        Args:
            digest: makes the digest of what came; called only where the index had the instance.

        Raises:
            whatever `load` and `digest` raise.
        """
        key, content = bytes.fromhex(keys.instance), ~mark
        with self._lock:
            known = self._studies.get(keys.study)
            if known is None:
                known = self._loaded(keys.study)
            self._studies.move_to_end(keys.study)
            before = len(known)
            seen = known.setdefault(key, content)
            self._count += len(known) - before
            while self._count > MOST_INSTANCES:
                _, forgotten = self._studies.popitem(last=False)
                self._count -= len(forgotten)
        if seen == content or (seen >= 0 and seen == _number(digest())):
            return False
        with self._lock:
            known[key] = _SEVERAL
        return True

    def learn(self, entries: Iterable[Entry]) -> None:
        """The index has these now, whichever process they came through."""
        with self._lock:
            for entry in entries:
                known = self._studies.get(entry.keys.study)
                if known is None or entry.landed is None:
                    continue
                key, content = bytes.fromhex(entry.keys.instance), _number(entry.keys.digest)
                before = len(known)
                if known.setdefault(key, content) not in (content, ~entry.landed.mark):
                    known[key] = _SEVERAL
                self._count += len(known) - before

    def _loaded(self, study: str) -> dict[bytes, int]:
        known: dict[bytes, int] = {}
        for instance, digest in self._load(study):
            key, content = bytes.fromhex(instance), _number(digest)
            if known.setdefault(key, content) != content:
                known[key] = _SEVERAL
        self._studies[study] = known
        self._count += len(known)
        return known


def _number(digest: str) -> int:
    return int(digest[:15], 16)
