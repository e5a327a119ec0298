"""From the wire to the disk: each object streams into a file as it comes, and is acknowledged once that is durable.

The flushed file is the fact that was acknowledged: it holds all that the index will say of the object. The index
follows a moment later (`registrar`), and after a crash (`Reception.recover`).
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from hashlib import sha256
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from wardround.dicom.deidentify_elements import Element, ElementWriter, Encoding
from wardround.dicom.header_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
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
    Unreadable,
    read_head,
)
from wardround.node.receive.bay import PREAMBLE, Bay, Seal
from wardround.node.receive.contents import Claims, Contents
from wardround.node.receive.register import CONFLICT, Register, refusal_of
from wardround.node.receive.registrar import Registrar
from wardround.node.receive.route import NO_RULE, Routes, Rule
from wardround.node.receive.route_facts import Facts

log = logging.getLogger(__name__)

_META = ElementWriter(Encoding(implicit=False))


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
        closed: why an object isn't taken now, by a reason that is counted; None if it is. Asked for each, so quick.
        noted: told the key of each object's study and its Study Instance UID. Quick too.
    """

    def __init__(
        self,
        bay: Bay,
        registrar: Registrar,
        register: Register,
        keys: KeyMaker,
        routes: Routes,
        *,
        root: Path,
        durable: bool,
        reserve_bytes: int,
        clock: Clock,
        closed: Callable[[StoreHeader], str | None] | None = None,
        noted: Callable[[str, str], None] | None = None,
    ) -> None:
        self.bay = bay
        self.registrar = registrar
        self.register = register
        self.keys = keys
        self.routes = routes
        self.wanted = routes.tags
        self.claims = Claims()
        self.contents = Contents(register.contents)
        self.durable = durable
        self.clock = clock
        self.noted = noted
        self._closed = closed
        self._root = root
        self._reserve = reserve_bytes

    def open(self, header: StoreHeader) -> Incoming | RefusedStorage:
        """Begin an object. It is refused with 0xA700 where the disk or the index can't take more, or the door is closed
        to it."""
        if self.registrar.behind:
            return self._turn_away("index-behind")
        reason = None if self._closed is None else self._closed(header)
        if reason is not None:
            return self._turn_away(reason)
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize < self._reserve:
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
        self._begun = False
        self._size = len(self._head)
        self._content = sha256(header.transfer_syntax_uid.encode())

    def write(self, piece: memoryview | bytes) -> None:
        if self._begun:
            written = os.write(self._descriptor, piece)
        else:
            self._begun = True
            written = os.writev(self._descriptor, (self._head, piece)) - len(self._head)
            if written < 0:
                raise OSError("the disk took less than the head of an object")
        while written < len(piece):
            written += os.write(self._descriptor, piece[written:])
        self._size += len(piece)
        self._content.update(piece)

    def commit(self) -> Accepted | RefusedStorage:
        landing = self._landing
        try:
            answer = self._land()
        except Unreadable as unreadable:
            self._drop()
            digest = self._content.hexdigest()
            self._refuse(landing.keys.unread(self._header.sop_instance_uid, digest), NO_RULE, unreadable.reason_code)
            mismatch = unreadable.reason_code in ("uid-mismatch", "class-mismatch")
            answer = Answer.OTHER_INSTANCE if mismatch else Answer.NOT_UNDERSTOOD
        except OSError as error:
            log.error("an instance could not be written: %s", type(error).__name__)
            answer = self._fail("disk-error")
        except (DBAPIError, PoolExhausted) as error:
            log.error("the index does not answer: %s", type(error).__name__)
            answer = self._fail("index-unavailable")
        return Accepted() if answer is Answer.STORED else RefusedStorage(answer)

    def abandon(self) -> None:
        self._fail("not-whole")

    def _land(self) -> Answer:
        landing = self._landing
        head = self._read_head()
        keys = landing.keys.keys(head, self._content.hexdigest())
        facts = Facts(
            head.values,
            transfer_syntax=self._header.transfer_syntax_uid,
            called_title=self._called,
            calling_title=self._calling,
        )
        rule = landing.routes.decide(facts)
        if not rule.route.paths:
            self._drop()
            self._refuse(keys, rule, refusal_of(rule), head)
            return Answer.STORED if rule.answer_stored else Answer.NOT_AUTHORISED
        if landing.noted is not None:
            landing.noted(keys.study, head.uids[STUDY])
        entry = self._entry(keys, rule, None, head, file=self._slot)
        ours = landing.claims.take(entry)
        try:
            doubtful = ours and landing.contents.differs(keys)
            other = not ours or (doubtful and landing.register.holds_other_content(keys, rule.route.paths))
            self._seal(entry, flush=landing.durable and not other)
        except BaseException:
            landing.claims.release([entry])
            raise
        landing.registrar.put(entry if ours else replace(entry, refusal=CONFLICT))
        return Answer.OTHER_CONTENT if other else Answer.STORED

    def _read_head(self) -> Head:
        header, start = self._header, len(self._head)
        head = read_head(
            lambda pos, length: os.pread(self._descriptor, length, start + pos),
            header.transfer_syntax_uid,
            self._landing.wanted,
        )
        if header.sop_instance_uid and header.sop_instance_uid.strip(" \0") != head.uids[SOP_INSTANCE]:
            raise Unreadable("uid-mismatch")
        if header.sop_class_uid and header.sop_class_uid.strip(" \0") != head.uids[SOP_CLASS]:
            raise Unreadable("class-mismatch")
        return head

    def _seal(self, entry: Entry, *, flush: bool) -> None:
        seal = Seal(
            size=self._size,
            start=len(self._head),
            header=zlib.crc32(self._head[PREAMBLE:]),
            digest=bytes.fromhex(entry.keys.digest),
            route=entry.rule.route,
            rule=entry.rule.name,
            at=entry.at,
        )
        os.pwrite(self._descriptor, bytes(seal), 0)
        if flush:
            os.fsync(self._descriptor)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _entry(self, keys: Keys, rule: Rule, refusal: str | None, head: Head | None, *, file: Path | None) -> Entry:
        return Entry(
            keys=keys,
            size=self._size,
            rule=rule,
            called_title=self._called,
            calling_title=self._calling,
            sop_class=sop_class_of(head),
            at=self._landing.clock(),
            file=file,
            refusal=refusal,
        )

    def _refuse(self, keys: Keys, rule: Rule, refusal: str | None, head: Head | None = None) -> None:
        """Keep the fact, and nothing else."""
        self._landing.registrar.put(self._entry(keys, rule, refusal, head, file=None))
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
    titles = [(0x00020016, called), (0x00020017, calling), (0x00020018, called)]
    elements = [
        Element(0x00020001, b"OB", b"\0\x01"),
        Element(0x00020002, b"UI", header.sop_class_uid.encode()),
        Element(0x00020003, b"UI", header.sop_instance_uid.encode()),
        Element(0x00020010, b"UI", header.transfer_syntax_uid.encode()),
        Element(0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
        Element(0x00020013, b"SH", IMPLEMENTATION_VERSION.encode()),
        *(Element(tag, b"AE", title.encode()) for tag, title in titles if title),
    ]
    body = _META.data_set(elements)
    length = _META.data_set([Element(0x00020000, b"UL", struct.pack("<L", len(body)))])
    return b"".join((bytes(PREAMBLE), b"DICM", length, body))


def printable_title(title: str) -> str:
    """An AE title as it is kept: at most 16 characters, all printable (PS3.5 Table 6.2-1)."""
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in title.strip())[:16]


def sop_class_of(head: Head | None) -> str:
    """The SOP class as it is kept: digits and dots, or nothing."""
    uid = "" if head is None else head.uids[SOP_CLASS]
    return uid if set(uid) <= set("0123456789.") else ""
