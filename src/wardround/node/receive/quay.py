"""Where the objects that one process receives come ashore: its bay, and the thread that tells the index of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from wardround.dicom.network_messages import Incoming, RefusedStorage, StoreHeader
from wardround.foundation.clock import Clock, now
from wardround.node.receive.arrival import Arrival, Entry, KeyMaker
from wardround.node.receive.bay import Bay
from wardround.node.receive.index import Index, IndexUnavailable
from wardround.node.receive.landing import Landing
from wardround.node.receive.registrar import Registrar
from wardround.node.receive.route import Routes, StudyPath

log = logging.getLogger(__name__)

INCOMING = "incoming"
"""The folder of all bays, in quarantine."""
RESERVE_BYTES = 256 * 1024 * 1024
PATIENCE = 10.0
CLOSING = 30.0
"""Seconds that closing waits for the index; what isn't in it by then is registered at the next start."""


class Quay:
    """Takes in what this process receives. It is a `wardround.dicom.network.Landing`.

    Args:
        quarantine: the folder that `incoming/` lies in, which is there.
        arrived: called, from a thread of its own, with each batch that the index has learnt of.
        durable, reserve_bytes, patience: see `Reception`. closed, noted: see `Landing`.
    """

    def __init__(
        self,
        index: Index,
        keys: KeyMaker,
        routes: Routes,
        *,
        quarantine: Path,
        durable: bool = True,
        reserve_bytes: int = RESERVE_BYTES,
        patience: float = PATIENCE,
        clock: Clock = now,
        arrived: Callable[[Sequence[Entry]], None] = lambda _: None,
        closed: Callable[[StudyPath], str | None] | None = None,
        noted: Callable[[str, str], None] | None = None,
    ) -> None:
        self._arrived = arrived
        self._index = index
        self._bay = Bay(quarantine / INCOMING, durable=durable)
        self._registrar = Registrar(
            index,
            patience=patience,
            done=self._done,
            meanwhile=lambda: self._make_room(lambda: self._bay.replenish(busy=True)),
            clock=clock,
        )
        self._landing = Landing(
            self._bay,
            self._registrar,
            index,
            keys,
            routes,
            root=quarantine,
            durable=durable,
            reserve_bytes=reserve_bytes,
            clock=clock,
            closed=closed,
            noted=noted,
        )

    def open(self, header: StoreHeader) -> Incoming | RefusedStorage:
        """Begin an object that streams in. What its `commit` accepts survives a crash."""
        return self._landing.open(header)

    def refuse_bytes(self, arrival: Arrival, reason: str) -> None:
        """See `Landing`."""
        self._landing.refuse_bytes(arrival, reason)

    def prepare(self) -> None:
        """Make room for many objects at once, and open the index, before a receiver listens; without it the first ones
        wait a little."""
        self._make_room(self._bay.prepare)
        try:
            self._index.contents("")
        except IndexUnavailable as error:
            log.error("the index does not answer: %s", error)

    def learn(self, entries: Sequence[Entry]) -> None:
        """The index has these now, whichever process they came through."""
        self._landing.contents.learn(entries)

    def count(self, reason: str) -> None:
        """Note that something was turned away of which nothing is kept."""
        self._registrar.count(reason)

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until the index has all that has landed; False if that took longer than `timeout` seconds."""
        return self._registrar.settle(timeout)

    def close(self) -> None:
        """Bring the index up and leave the bay. Call it after the receivers have stopped."""
        self._registrar.close(CLOSING)
        self._bay.close()

    def _done(self, entries: Sequence[Entry]) -> None:
        self._landing.claims.written(entries)
        self._make_room(self._bay.replenish)
        self._arrived(entries)

    def _make_room(self, make: Callable[[], None]) -> None:
        try:
            make()
        except OSError as error:
            # Whoever needs a slot next hears it, and tells the sender.
            log.error("no room is made for what comes: %s", type(error).__name__)
