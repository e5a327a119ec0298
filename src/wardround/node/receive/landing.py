"""From the wire to the disk: each object streams into a file as it comes, and is acknowledged once that is durable.

The flushed file is the fact that was acknowledged: it holds all that the index will say of the object. The index
follows a moment later (`registrar`), and after a crash (`Reception.recover`).
"""

from __future__ import annotations

import logging
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from zlib_ng.zlib_ng import crc32

from wardround.dicom.deidentify_elements import Element, ElementWriter, Encoding
from wardround.dicom.header_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from wardround.dicom.header_prefix import ReadAt
from wardround.dicom.network_messages import Accepted, Incoming, RefusedStorage, StoreHeader
from wardround.foundation.clock import Clock
from wardround.node.receive.arrival import (
    SOP_CLASS,
    SOP_INSTANCE,
    STUDY,
    Arrival,
    Entry,
    Head,
    KeyMaker,
    Keys,
    Landed,
    Unreadable,
    content_digest,
    read_head,
)
from wardround.node.receive.bay import PREAMBLE, Bay, Seal, mark
from wardround.node.receive.contents import Claims, Contents
from wardround.node.receive.index import CONFLICT, Index, IndexUnavailable, refusal_of
from wardround.node.receive.registrar import Registrar
from wardround.node.receive.route import NO_RULE, Route, Routes, Rule, StudyPath
from wardround.node.receive.route_facts import Facts

log = logging.getLogger(__name__)

_META = ElementWriter(Encoding(implicit=False))
_UID = struct.Struct("<HH2sH")
_GROUP_LENGTH = struct.Struct("<HH2sHL")
_NO_PREAMBLE = bytes(PREAMBLE)
_LOOKS_AT_DISK_EVERY = 0.05
_KEPT_AT_HAND = 8192
"""Bytes of an object's beginning that are kept until it is routed, so that most needn't be read from its file."""
_Seen = tuple[Head, Keys, Rule]


class _NotHereYet(Exception):
    """More of an object has to come before its head can be read."""


class Answer(IntEnum):
    """What the sender hears: a status of the Storage Service (PS3.4 Table B.2-1, PS3.7 section 9.1.1.1.9)."""

    STORED = 0x0000
    NOT_AUTHORISED = 0x0124
    NO_ROOM = 0xA700
    OTHER_INSTANCE = 0xA900
    NOT_UNDERSTOOD = 0xC000
    OTHER_CONTENT = 0xC001
    """An instance of this UID with other content is here already; this one is kept apart, refused."""


class Landing:
    """Takes objects from the wire; a `wardround.dicom.network.Landing`, called from many threads.

    Args:
        root: the folder whose disk has to keep `reserve_bytes` free.
        durable: flush each object to the disk before it is acknowledged.
        closed: why nothing is taken for a path now, by a reason that is counted; None if it is. Asked for each object,
            so quick.
        noted: told the key of each object's study and its Study Instance UID. Quick too.
    """

    def __init__(
        self,
        bay: Bay,
        registrar: Registrar,
        index: Index,
        keys: KeyMaker,
        routes: Routes,
        *,
        root: Path,
        durable: bool,
        reserve_bytes: int,
        clock: Clock,
        closed: Callable[[StudyPath], str | None] | None = None,
        noted: Callable[[str, str], None] | None = None,
    ) -> None:
        self.bay = bay
        self.registrar = registrar
        self.index = index
        self.keys = keys
        self.routes = routes
        self.wanted = routes.tags
        self.claims = Claims()
        self.contents = Contents(index.contents)
        self.durable = durable
        self.clock = clock
        self.noted = noted
        self._closed = closed
        self._root = root
        self._reserve = reserve_bytes
        self._room_until = 0.0

    def open(self, header: StoreHeader) -> Incoming | RefusedStorage:
        """Begin an object. It is refused with 0xA700 where the disk or the index can't take more."""
        if not self.registrar.admits():
            return self._turn_away("index-behind")
        if not self._disk_has_room():
            return self._turn_away("disk-reserve")
        try:
            return _Landing(self, header)
        except OSError:
            return self._turn_away("disk-error")

    def refuse_bytes(self, arrival: Arrival, reason: str) -> None:
        """Note that something came that is no DICOM file; nothing is kept of it."""
        keys = self.keys.unread(arrival.sop_uid or "", sha256(arrival.part10).hexdigest())
        called, calling = printable_title(arrival.called_title), printable_title(arrival.calling_title)
        size, at = len(arrival.part10), self.clock()
        self.registrar.put(Entry(keys, size, NO_RULE, called, calling, "", at, None, reason))

    def closed(self, rule: Rule) -> dict[StudyPath, str]:
        """Which of the paths of a rule take nothing now, and why."""
        if self._closed is None:
            return {}
        return {path: reason for path in rule.route.paths if (reason := self._closed(path)) is not None}

    def _disk_has_room(self) -> bool:
        moment = time.monotonic()
        if moment >= self._room_until:
            disk = os.statvfs(self._root)
            if disk.f_bavail * disk.f_frsize < self._reserve:
                return False
            self._room_until = moment + _LOOKS_AT_DISK_EVERY
        return True

    def _turn_away(self, reason: str) -> RefusedStorage:
        self.registrar.count(reason)
        return RefusedStorage(Answer.NO_ROOM)


class _Landing:
    """One object on its way in; an `Incoming`."""

    def __init__(self, landing: Landing, header: StoreHeader) -> None:
        self._landing = landing
        self._header = header
        self._called, self._calling = printable_title(header.called_ae), printable_title(header.calling_ae)
        self._slot = landing.bay.take()
        self._descriptor = os.open(self._slot, os.O_RDWR)
        self._head = file_head(header, self._called, self._calling)
        self._size = len(self._head)
        self._content = 0
        self._beginning: bytes | None = None
        self._seen: _Seen | None = None
        self._disk_failed = False

    def write(self, piece: memoryview | bytes) -> None:
        try:
            if self._beginning is not None:
                written = os.write(self._descriptor, piece)
            else:
                self._beginning = bytes(piece[:_KEPT_AT_HAND])
                written = os.writev(self._descriptor, (self._head, piece)) - len(self._head)
                if written < 0:
                    raise OSError("the disk took less than the head of an object")
                self._look_ahead()
            while written < len(piece):
                written += os.write(self._descriptor, piece[written:])
        except OSError:
            self._disk_failed = True
            raise
        self._size += len(piece)
        self._content = crc32(piece, self._content)

    def commit(self) -> Accepted | RefusedStorage:
        try:
            try:
                answer = self._land()
            except Unreadable as unreadable:
                answer = self._not_understood(unreadable.reason_code)
        except OSError as error:
            log.error("an instance could not be written: %s", type(error).__name__)
            answer = self._fail("disk-error")
        except IndexUnavailable as error:
            log.error("the index does not answer: %s", error)
            answer = self._fail("index-unavailable")
        return Accepted() if answer is Answer.STORED else RefusedStorage(answer)

    def abandon(self) -> None:
        self._fail("disk-error" if self._disk_failed else "not-whole")

    def _land(self) -> Answer:
        landing = self._landing
        head, keys, rule = self._seen or self._look(self._read_at)
        if not rule.route.paths:
            keys = replace(keys, digest=self._digest())
            self._drop()
            self._refuse(keys, rule, refusal_of(rule), head)
            return Answer.STORED if rule.answer_stored else Answer.NOT_AUTHORISED
        closed = landing.closed(rule)
        if closed:
            reason = next(iter(closed.values()))
            open_ = [path for path in rule.route.paths if path not in closed]
            if not open_:
                return self._fail(reason)
            # Care comes first: what also goes to the clinic isn't held up by what research has no room for.
            landing.registrar.count(reason)
            rule = replace(rule, route=Route(open_[0].value))
        if landing.noted is not None:
            landing.noted(keys.study, head.uids[STUDY])
        start, syntax = len(self._head), self._header.transfer_syntax_uid
        landed = Landed(self._slot, start, syntax, mark(self._size - start, self._content, syntax))
        ours = landing.claims.take(keys.instance, landed.mark)
        try:
            other = not ours
            if ours and landing.contents.differs(keys, landed.mark, self._digest):
                keys = replace(keys, digest=self._digest())
                other = landing.index.holds_other_content(keys, rule.route.paths)
            entry = self._entry(keys, rule, None if ours else CONFLICT, head, landed=landed)
            self._seal(entry, flush=landing.durable and not other)
        except BaseException:
            if ours:
                landing.claims.release(keys.instance, landed.mark)
            raise
        landing.registrar.put(entry)
        return Answer.OTHER_CONTENT if other else Answer.STORED

    def _not_understood(self, reason: str) -> Answer:
        keys = self._landing.keys.unread(self._header.sop_instance_uid, self._digest())
        self._drop()
        self._refuse(keys, NO_RULE, reason)
        return Answer.OTHER_INSTANCE if reason in ("uid-mismatch", "class-mismatch") else Answer.NOT_UNDERSTOOD

    def _digest(self) -> str:
        """Of what came, read back: for what isn't taken, and for what the index knows already."""
        return content_digest(self._descriptor, len(self._head), self._header.transfer_syntax_uid)

    def _read_at(self, pos: int, length: int) -> bytes:
        if pos == 0 and self._beginning:
            return self._beginning
        return os.pread(self._descriptor, length, len(self._head) + pos)

    def _look_ahead(self) -> None:
        """Look at the object while the rest of it comes, so that its sender waits less for the answer."""

        def at_hand(pos: int, length: int) -> bytes:
            if pos or not self._beginning:
                raise _NotHereYet
            return self._beginning

        with suppress(_NotHereYet, Unreadable):
            self._seen = self._look(at_hand)

    def _look(self, read_at: ReadAt) -> _Seen:
        """The object's head, the keys that stand for it, and the rule that takes it."""
        landing = self._landing
        head = self._read_head(read_at)
        facts = Facts(
            head.values,
            transfer_syntax=self._header.transfer_syntax_uid,
            called_title=self._called,
            calling_title=self._calling,
        )
        return head, landing.keys.keys(head, ""), landing.routes.decide(facts)

    def _read_head(self, read_at: ReadAt) -> Head:
        header = self._header
        head = read_head(read_at, header.transfer_syntax_uid, self._landing.wanted)
        if header.sop_instance_uid and header.sop_instance_uid.strip(" \0") != head.uids[SOP_INSTANCE]:
            raise Unreadable("uid-mismatch")
        if header.sop_class_uid and header.sop_class_uid.strip(" \0") != head.uids[SOP_CLASS]:
            raise Unreadable("class-mismatch")
        return head

    def _seal(self, entry: Entry, *, flush: bool) -> None:
        route, rule = entry.rule.route, entry.rule.name
        seal = Seal(self._size, len(self._head), self._content, route=route, rule=rule, at=entry.at)
        os.pwrite(self._descriptor, seal.preamble(memoryview(self._head)[PREAMBLE:]), 0)
        if flush:
            os.fsync(self._descriptor)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _entry(self, keys: Keys, rule: Rule, refusal: str | None, head: Head | None, *, landed: Landed | None) -> Entry:
        return Entry(
            keys=keys,
            size=self._size,
            rule=rule,
            called_title=self._called,
            calling_title=self._calling,
            sop_class=sop_class_of(head),
            at=self._landing.clock(),
            landed=landed,
            refusal=refusal,
        )

    def _refuse(self, keys: Keys, rule: Rule, refusal: str | None, head: Head | None = None) -> None:
        """Keep the fact, and nothing else."""
        self._landing.registrar.put(self._entry(keys, rule, refusal, head, landed=None))
        log.warning("an instance was not taken: %s", refusal or rule.name)

    def _fail(self, reason: str) -> Answer:
        self._drop()
        self._landing.registrar.count(reason)
        return Answer.NO_ROOM

    def _drop(self) -> None:
        """Leave nothing of the object; its slot may be used again, unless the disk is in trouble."""
        try:
            if self._descriptor >= 0:
                os.ftruncate(self._descriptor, 0)
                self._landing.bay.give_back(self._slot)
            else:
                self._slot.unlink(missing_ok=True)
        except OSError:
            self._slot.unlink(missing_ok=True)
        finally:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def file_head(header: StoreHeader, called: str, calling: str) -> bytes:
    """Preamble, prefix and file meta information of a received object (PS3.10 Table 7.1-1): who sent it to whom."""
    before, after = _around_uid(header.sop_class_uid, header.transfer_syntax_uid, called, calling)
    uid = header.sop_instance_uid.encode()
    uid += b"\0" * (len(uid) & 1)
    uid = _UID.pack(0x0002, 0x0003, b"UI", len(uid)) + uid
    length = _GROUP_LENGTH.pack(0x0002, 0x0000, b"UL", 4, len(before) + len(uid) + len(after))
    return b"".join((_NO_PREAMBLE, b"DICM", length, before, uid, after))


@lru_cache(maxsize=64)
def _around_uid(sop_class: str, transfer_syntax: str, called: str, calling: str) -> tuple[bytes, bytes]:
    """The elements before Media Storage SOP Instance UID and those after it, the same for many objects."""
    titles = [(0x00020016, called), (0x00020017, calling), (0x00020018, called)]
    before = [Element(0x00020001, b"OB", b"\0\x01"), Element(0x00020002, b"UI", sop_class.encode())]
    after = [
        Element(0x00020010, b"UI", transfer_syntax.encode()),
        Element(0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
        Element(0x00020013, b"SH", IMPLEMENTATION_VERSION.encode()),
        *(Element(tag, b"AE", title.encode()) for tag, title in titles if title),
    ]
    return _META.data_set(before), _META.data_set(after)


@lru_cache(maxsize=256)
def printable_title(title: str) -> str:
    """An AE title as it is kept: at most 16 characters, all printable (PS3.5 Table 6.2-1)."""
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in title.strip())[:16]


def sop_class_of(head: Head | None) -> str:
    """The SOP class as it is kept: digits and dots, or nothing."""
    uid = "" if head is None else head.uids[SOP_CLASS]
    return uid if set(uid) <= set("0123456789.") else ""
