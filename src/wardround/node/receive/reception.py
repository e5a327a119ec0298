"""The front door as a whole: where objects land, how they get into the index, and what a restart mends."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.network_messages import Accepted, Incoming, RefusedStorage, StoreHeader
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.node.receive.arrival import Arrival, Entry, KeyMaker, Unreadable, read_head
from wardround.node.receive.bay import TRANSFER_SYNTAX, Whole, found_whole, left_behind, one_at_a_time
from wardround.node.receive.landing import Answer, sop_class_of
from wardround.node.receive.quay import CLOSING, INCOMING, PATIENCE, RESERVE_BYTES, Quay
from wardround.node.receive.register import Register, make_directory
from wardround.node.receive.registrar import BATCH
from wardround.node.receive.route import NO_RULE, Routes, Rule, StudyPath
from wardround.node.receive.route_facts import Facts
from wardround.node.receive.tables import ReceivedInstance

log = logging.getLogger(__name__)

_SENDING_AE, _RECEIVING_AE = 0x00020017, 0x00020018
# What this program names files in quarantine, and what a crash may leave of one.
_NAMED = re.compile(r"[0-9a-f]{32}\.dcm|\.[0-9a-f]{32}\.dcm\.[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a restart found: objects that were whole and are in the index now, and files that nobody was promised."""

    registered: int
    removed: int


class Reception:
    """Where the node's receivers put objects. It is a `wardround.dicom.network.Landing`.

    Args:
        database: the node's database, upgraded.
        quarantine: directory of the research path's originals, of what was refused, and of what has just landed.
        clinical: directory of the clinical path's studies.
        secret: the site's secret, at least 16 bytes, for keys in place of identifiers.
        routes: where each arrival goes.
        durable: flush each object to the disk before it is acknowledged.
        reserve_bytes: free space below which nothing more is taken in.
        patience: seconds that the index may stay behind before nothing more is taken in.
        arrived: called, from a thread of its own, with each batch that the index has learnt of from this process.
        closed, noted: see `Landing`.
    """

    def __init__(
        self,
        database: Database,
        *,
        quarantine: Path,
        clinical: Path,
        secret: bytes,
        routes: Routes,
        durable: bool = True,
        reserve_bytes: int = RESERVE_BYTES,
        patience: float = PATIENCE,
        clock: Clock = now,
        arrived: Callable[[Sequence[Entry]], None] = lambda _: None,
        closed: Callable[[StudyPath], str | None] | None = None,
        noted: Callable[[str, str], None] | None = None,
    ) -> None:
        self._database = database
        self._roots = {StudyPath.RESEARCH: quarantine, StudyPath.CLINIC: clinical}
        self._incoming = quarantine / INCOMING
        self._routes = routes
        self._clock = clock
        for root in (*self._roots.values(), self._incoming):
            make_directory(root)
        self._keys = KeyMaker(secret)
        self.index = Register(database, self._roots, self._incoming, durable=durable)
        self.quay = Quay(
            self.index,
            self._keys,
            routes,
            quarantine=quarantine,
            durable=durable,
            reserve_bytes=reserve_bytes,
            patience=patience,
            clock=clock,
            arrived=arrived,
            closed=closed,
            noted=noted,
        )

    def open(self, header: StoreHeader) -> Incoming | RefusedStorage:
        """Begin an object that streams in. What its `commit` accepts survives a crash."""
        return self.quay.open(header)

    def prepare(self) -> None:
        """See `Quay`."""
        self.quay.prepare()

    def learn(self, entries: Sequence[Entry]) -> None:
        """See `Quay`."""
        self.quay.learn(entries)

    def receive(self, arrival: Arrival) -> Answer:
        """Take a whole file in, and wait until the index has it."""
        try:
            meta, start = read_file_meta(arrival.part10)
        except Refused as refused:
            self.quay.refuse_bytes(arrival, refused.reason_code)
            self.settle(CLOSING)
            return Answer.NOT_UNDERSTOOD
        header = StoreHeader(
            called_ae=arrival.called_title,
            calling_ae=arrival.calling_title,
            sop_class_uid="",
            sop_instance_uid=arrival.sop_uid or "",
            transfer_syntax_uid=meta.get(TRANSFER_SYNTAX, ""),
            peer="",
            association=0,
        )
        answer = self._take(header, arrival.part10[start:])
        self.settle(CLOSING)
        return Answer.STORED if isinstance(answer, Accepted) else Answer(answer.status)

    def rule_of(self, arrival: Arrival) -> Rule:
        """The rule that would take a whole file; nothing is taken in.

        Raises:
            Refused, Unreadable: it is none that the front door would take.
        """
        meta, start = read_file_meta(arrival.part10)
        syntax, data_set = meta.get(TRANSFER_SYNTAX, ""), memoryview(arrival.part10)[start:]
        head = read_head(lambda at, length: bytes(data_set[at : at + length]), syntax, self._routes.tags)
        titles = {"called_title": arrival.called_title, "calling_title": arrival.calling_title}
        return self._routes.decide(Facts(head.values, transfer_syntax=syntax, **titles))

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until the index has all that has landed; False if that took longer than `timeout` seconds."""
        return self.quay.settle(timeout)

    def close(self) -> None:
        """Bring the index up and leave the bay. Call it after the receivers have stopped."""
        self.quay.close()

    def recover(self) -> Recovered:
        """Mend what a crash left: register what was whole, remove what nobody was promised.

        Bays of living processes are left alone, so it may run beside them.
        """
        found = self.take_over()
        return Recovered(found.registered, found.removed + self._tidy())

    def take_over(self) -> Recovered:
        """Register what was whole in the bays of processes that are gone, and remove them."""
        registered = removed = 0
        with left_behind(self._incoming) as bays:
            batch: list[Entry] = []
            for file in (file for bay in bays for file in sorted(bay.iterdir()) if file.name != ".lock"):
                size = file.stat().st_size
                whole = found_whole(file) if size else None
                if whole is None:
                    removed += size > 0
                    file.unlink()
                    continue
                batch.append(self._recovered(whole))
                if len(batch) == BATCH:
                    registered += self._written(batch)
            registered += self._written(batch)
        if registered:
            log.warning("%d objects that had landed before a crash are in the index now", registered)
        if removed:
            log.warning("removed %d files that were never acknowledged", removed)
        return Recovered(registered, removed)

    def _take(self, header: StoreHeader, data_set: bytes) -> Accepted | RefusedStorage:
        incoming = self.quay.open(header)
        if isinstance(incoming, RefusedStorage):
            return incoming
        try:
            incoming.write(data_set)
        except OSError:
            incoming.abandon()
            return RefusedStorage(Answer.NO_ROOM)
        return incoming.commit()

    def _written(self, batch: list[Entry]) -> int:
        self.index.write(batch, {}, self._clock())
        count = len(batch)
        batch.clear()
        return count

    def _recovered(self, whole: Whole) -> Entry:
        """The entry of an object that had landed. It goes where it was sent then, whatever the rules say now."""
        seal, syntax = whole.seal, whole.meta.get(TRANSFER_SYNTAX, "")
        called, calling = whole.meta.get(_RECEIVING_AE, ""), whole.meta.get(_SENDING_AE, "")
        known = (rule for rule in self._routes.rules if (rule.name, rule.route) == (seal.rule, seal.route))
        rule = next(known, Rule(seal.rule, None, seal.route, seal.route.value))
        with whole.landed.file.open("rb") as file:

            def read_at(pos: int, length: int) -> bytes:
                file.seek(seal.start + pos)
                return file.read(length)

            try:
                head = read_head(read_at, syntax, frozenset())
            except Unreadable as unreadable:
                keys = self._keys.unread("", whole.digest)
                refusal = unreadable.reason_code
                return Entry(keys, seal.size, NO_RULE, called, calling, "", seal.at, whole.landed, refusal)
        keys = self._keys.keys(head, whole.digest)
        return Entry(keys, seal.size, rule, called, calling, sop_class_of(head), seal.at, whole.landed)

    def _tidy(self) -> int:
        """Remove the files in the paths' folders that no row stands for; returns how many."""
        removed = 0
        with one_at_a_time(self._incoming), self._database.reading() as session:
            known = set(session.scalars(select(ReceivedInstance.file).where(ReceivedInstance.file.is_not(None))))
            for root, file in self._named():
                if file.relative_to(root).as_posix() not in known:
                    file.unlink()
                    removed += 1
        if removed:
            log.warning("removed %d files that are no longer needed", removed)
        return removed

    def _named(self) -> Iterator[tuple[Path, Path]]:
        look: dict[StudyPath, Callable[[Path], Iterator[Path]]] = {
            StudyPath.RESEARCH: lambda root: root.iterdir(),
            StudyPath.CLINIC: lambda root: root.glob("*/*"),
        }
        for path, root in self._roots.items():
            for file in look[path](root):
                if _NAMED.fullmatch(file.name) and file.is_file():
                    yield root, file
