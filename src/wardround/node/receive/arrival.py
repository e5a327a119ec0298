"""One instance on its way in: what the front door reads of it, and the keys that stand for its identifiers."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from wardround.dicom.errors import Refused
from wardround.dicom.header_prefix import ReadAt, read_prefix
from wardround.node.receive.route import Rule

SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
UIDS = frozenset({SOP_CLASS, SOP_INSTANCE, STUDY, SERIES})
_LONGEST_UID = 64
_MOST_REMEMBERED = 64
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Arrival:
    """A whole DICOM Part 10 file (PS3.10 section 7) and who sent it to whom.

    `sop_uid` is the Affected SOP Instance UID of the C-STORE request where there was one.
    """

    part10: bytes = field(repr=False)
    called_title: str = ""
    calling_title: str = ""
    sop_uid: str | None = field(default=None, repr=False)


class Unreadable(ValueError):
    """The bytes aren't a DICOM instance that this node can tell from others; `reason_code` says why."""

    def __init__(self, reason_code: str) -> None:
        super().__init__(reason_code)
        self.reason_code = reason_code


@dataclass(frozen=True, slots=True)
class Head:
    """The four UIDs of an instance, and the attributes that rules look at, as `read_prefix` gives them."""

    uids: Mapping[int, str] = field(repr=False)
    values: Mapping[int, tuple[bytes, bytes]] = field(repr=False)


def read_head(read_at: ReadAt, transfer_syntax: str, wanted: frozenset[int]) -> Head:
    """Read the head of a data set.

    Raises:
        Unreadable: it isn't a data set, or lacks one of its four UIDs.
    """
    try:
        values = read_prefix(read_at, transfer_syntax, wanted | UIDS)
    except Refused as refused:
        raise Unreadable(refused.reason_code) from None
    uids = {tag: values[tag][1].decode("latin-1").strip(" \0") for tag in UIDS if tag in values}
    lengths = [len(uid) for uid in uids.values()]
    if len(lengths) < len(UIDS) or min(lengths) == 0 or max(lengths) > _LONGEST_UID:
        raise Unreadable("uid-missing")
    return Head(uids, values)


@dataclass(frozen=True, slots=True)
class Keys:
    """An instance's place in the patient's records, as keyed digests: nobody without the site's secret can tell
    whose they are. `digest` is SHA-256 over transfer syntax and data set (`content_digest`), so that the same object
    sent by another peer, under another file meta header, is the same; empty as long as nobody has needed it."""

    study: str
    series: str
    instance: str
    digest: str


class KeyMaker:
    """Turns identifiers into keys, by HMAC-SHA-256 (RFC 2104) under the site's secret.

    Args:
        secret: at least 16 bytes that never leave the site.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of the front door needs at least 16 bytes")
        self._secret = hmac.digest(secret, b"wardround receive v1", "sha256")
        # Of studies and series, which come many times in a row. Any thread may clear it; a key is made again then.
        self._recent: dict[tuple[str, str], str] = {}

    def key(self, kind: str, uid: str) -> str:
        return hmac.digest(self._secret, f"{kind}\0{uid}".encode(), "sha256")[:16].hex()

    def keys(self, head: Head, digest: str) -> Keys:
        """The keys of an instance whose content has that digest."""
        return Keys(
            study=self._recently("study", head.uids[STUDY]),
            series=self._recently("series", head.uids[SERIES]),
            instance=self.key("instance", head.uids[SOP_INSTANCE]),
            digest=digest,
        )

    def _recently(self, kind: str, uid: str) -> str:
        key = self._recent.get((kind, uid))
        if key is None:
            if len(self._recent) >= _MOST_REMEMBERED:
                self._recent.clear()
            key = self._recent[kind, uid] = self.key(kind, uid)
        return key

    def unread(self, sop_uid: str, digest: str) -> Keys:
        """The keys of something that can't be read: by what the sender called it, else by its bytes."""
        return Keys("", "", self.key("instance", sop_uid or digest), digest)


@dataclass(frozen=True, slots=True)
class Landed:
    """Where an object lies that came whole.

    start: where its data set begins. transfer_syntax: what that is written in. mark: tells its content from that of
    another object of the same UID, without a digest: length and CRC-32 of its data set, and its transfer syntax.
    """

    file: Path
    start: int
    transfer_syntax: str
    mark: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index is to learn of one arrival.

    landed: where it lies; None where nothing is kept of it. refusal: why it is refused, None if it isn't.
    """

    keys: Keys
    size: int
    rule: Rule
    called_title: str
    calling_title: str
    sop_class: str
    at: datetime
    landed: Landed | None
    refusal: str | None = None

    @property
    def file(self) -> Path | None:
        return None if self.landed is None else self.landed.file


def content_digest(descriptor: int, start: int, transfer_syntax: str) -> str:
    """SHA-256 over the transfer syntax and the data set that begins at ``start`` of an open file, in hexadecimal.

    Raises:
        OSError: the file can't be read.
    """
    content = sha256(transfer_syntax.encode())
    buffer = memoryview(bytearray(_PIECE))
    while count := os.preadv(descriptor, (buffer,), start):
        content.update(buffer[:count])
        start += count
    return content.hexdigest()


def digested(entry: Entry) -> Entry:
    """The entry with the digest of what landed, read from its file unless it is there already.

    Raises:
        OSError: the file can't be read.
    """
    landed, keys = entry.landed, entry.keys
    if landed is None or keys.digest:
        return entry
    descriptor = os.open(landed.file, os.O_RDONLY)
    try:
        digest = content_digest(descriptor, landed.start, landed.transfer_syntax)
    finally:
        os.close(descriptor)
    return replace(entry, keys=Keys(keys.study, keys.series, keys.instance, digest))
