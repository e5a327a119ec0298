"""Messages that were acknowledged and aren't loaded yet: files in the node's home, in the order in which they came."""

from __future__ import annotations

import shutil
import threading
import time
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

from wardround.foundation.files import flush_directory, write_whole
from wardround.node.records.hl7.er7 import Message

RESERVE = 64 * 1024 * 1024
"""Bytes that are left free on the disk."""
REMEMBERED = 65_536
"""Messages that are known again when they are sent twice."""
_SUFFIX = ".hl7"
_DIGEST = 32


class Spool:
    """A folder of messages. For several threads of one process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for rubbish in folder.glob(f".*{_SUFFIX}.*"):
            rubbish.unlink(missing_ok=True)
        waiting = self.waiting()
        self._last = int(waiting[-1].name.split(".")[0]) if waiting else 0
        self._seen = _Seen(folder / "seen")

    def put(self, raw: bytes, message: Message) -> bool:
        """Keep a message, flushed to the disk; False if this very message was kept before.

        Raises:
            OSError: the disk is full, or failed; nothing was kept.
        """
        digest = _digest(raw, message)
        with self._lock:
            if digest in self._seen:
                return False
            if shutil.disk_usage(self._folder).free < RESERVE + len(raw):
                raise OSError("the disk is full")
            # A clock that was set back mustn't put a correction before what it corrects.
            self._last = max(self._last + 1, time.time_ns())
            write_whole(self._folder / f"{self._last:020d}{_SUFFIX}", raw)
            self._seen.add(digest)
            return True

    def waiting(self, most: int | None = None) -> list[Path]:
        """The oldest messages, oldest first."""
        return messages_in(self._folder)[:most]

    def remove(self, loaded: list[Path]) -> None:
        """Forget messages that are loaded for good."""
        for path in loaded:
            path.unlink(missing_ok=True)
        flush_directory(self._folder)


def messages_in(folder: Path) -> list[Path]:
    """The messages in a spool's folder, oldest first; none where there is no such folder."""
    return sorted(folder.glob(f"[0-9]*{_SUFFIX}"))


class _Seen:
    """Digests of the messages that came last, in a file that only grows until it is twice too long.

    It needs no flush: a message that is taken twice for want of its digest is loaded twice, which changes nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = path.read_bytes()[-REMEMBERED * _DIGEST :] if path.exists() else b""
        whole = len(kept) - len(kept) % _DIGEST
        self._known = OrderedDict.fromkeys(kept[at : at + _DIGEST] for at in range(0, whole, _DIGEST))
        self._rewrite()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._known

    def add(self, digest: bytes) -> None:
        self._known[digest] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        with self._path.open("ab") as file:
            file.write(digest)
        self._length += 1
        if self._length > 2 * REMEMBERED:
            self._rewrite()

    def _rewrite(self) -> None:
        write_whole(self._path, b"".join(self._known))
        self._length = len(self._known)


def _digest(raw: bytes, message: Message) -> bytes:
    """Of who sent it, its control id (MSH-10) and all it says: a number that comes again for another message is a
    mistake of the sender's, which mustn't cost a message."""
    header = message.header
    told = "\0".join((header[3].text, header[4].text, message.control_id))
    return sha256(told.encode("utf-8", "surrogatepass") + b"\0" + raw).digest()
