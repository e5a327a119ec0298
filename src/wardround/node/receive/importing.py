"""Bring in what lies in folders and zips: each object goes through the same door as what a PACS sends."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.network_messages import Accepted, RefusedStorage, StoreHeader
from wardround.node.receive.bay import TRANSFER_SYNTAX
from wardround.node.receive.landing import Answer
from wardround.node.receive.parcels import DAMAGED, READ_ERRORS, UNREADABLE, Bounds, Found, Parcels, Skipped
from wardround.node.receive.quay import CLOSING
from wardround.node.receive.reception import Reception

CALLING_TITLE = "IMPORT"
"""The sender's title of what is imported, for rules to look at."""
NOT_DICOM = "not-part10"
DICOMDIR = "dicomdir"
MALFORMED = "malformed"
MOST_NAMED = 10_000
"""Files that a report names; the counts go on."""

_SOP_CLASS, _SOP_INSTANCE = 0x00020002, 0x00020003
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_LARGEST_META = 64 * 1024
_PIECE = 256 * 1024
_SETTLED_EVERY = 1024
"""Objects after which the index is waited for, so that it never counts as behind."""
_TRIES = 3

Progress = Callable[[int, int], None]
"""Is told how many files and how many bytes on disk are through."""


class NoRoom(Exception):
    """The node takes nothing more now; what was taken is safe."""


@dataclass(slots=True)
class ImportReport:
    """What became of the files: `answers` to those that were given to the door, `skipped` by reason, those that
    weren't. `named` holds pairs of a file's name and why it isn't here; names may tell of patients. `stopped` is
    whether files are left that nobody looked at, for want of room or since somebody asked to stop."""

    files: int = 0
    answers: Counter[Answer] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    named: list[tuple[str, str]] = field(default_factory=list, repr=False)
    stopped: str | None = None

    @property
    def taken(self) -> int:
        return self.answers[Answer.STORED]

    def skip(self, name: str, reason: str) -> None:
        self.skipped[reason] += 1
        self._name(name, reason)

    def answer(self, name: str, answer: Answer) -> None:
        self.answers[answer] += 1
        if answer is not Answer.STORED:
            self._name(name, answer.name.lower().replace("_", "-"))

    def _name(self, name: str, why: str) -> None:
        if len(self.named) < MOST_NAMED:
            self.named.append((name, why))


class Importing:
    """One import, in the process that runs it. What it took before it was cut off is known the next time.

    Args:
        reception: of this process; beside it others may receive at the same time.
        called_title: the title under which the rules of routing see what is imported.
        spool: a folder for zips within zips, on a disk with room.
    """

    def __init__(self, reception: Reception, *, called_title: str, spool: Path, bounds: Bounds | None = None) -> None:
        self._reception = reception
        self._called = called_title
        self._spool = spool
        self._bounds = bounds
        self._numbers = itertools.count(1)

    def run(self, paths: list[Path], progress: Progress | None = None) -> ImportReport:
        """Take in all that `paths` hold. It ends early, with what was done until then, on Ctrl-C and without room."""
        report, through = ImportReport(), 0
        parcels = iter(Parcels(paths, spool=self._spool, bounds=self._bounds))
        try:
            for one in parcels:
                report.files += 1
                if isinstance(one, Skipped):
                    report.skip(one.name, one.reason)
                else:
                    self._take(one, report)
                through += one.weight
                if progress is not None:
                    progress(report.files, through)
                if report.files % _SETTLED_EVERY == 0:
                    self._reception.settle(CLOSING)
        except NoRoom:
            report.stopped = "no-room"
        except KeyboardInterrupt:
            report.stopped = "interrupted"
        self._reception.settle(CLOSING)
        return report

    def _take(self, found: Found, report: ImportReport) -> None:
        try:
            head = found.stream.read(_LARGEST_META)
        except READ_ERRORS:
            report.skip(found.name, DAMAGED if "!" in found.name else UNREADABLE)
            return
        if head[128:132] != b"DICM":
            report.skip(found.name, NOT_DICOM)
            return
        try:
            meta, start = read_file_meta(head)
        except Refused:
            report.skip(found.name, MALFORMED)
            return
        if meta.get(_SOP_CLASS) == _MEDIA_DIRECTORY:
            report.skip(found.name, DICOMDIR)
            return
        header = StoreHeader(
            called_ae=self._called,
            calling_ae=CALLING_TITLE,
            sop_class_uid=meta.get(_SOP_CLASS, ""),
            sop_instance_uid=meta.get(_SOP_INSTANCE, ""),
            transfer_syntax_uid=meta.get(TRANSFER_SYNTAX, ""),
            peer="",
            association=next(self._numbers),
        )
        for _ in range(_TRIES):
            answer = self._stream(header, head[start:], found.stream)
            if answer is None:
                report.skip(found.name, DAMAGED if "!" in found.name else UNREADABLE)
                return
            if answer is not Answer.NO_ROOM:
                report.answer(found.name, answer)
                return
            self._reception.settle(CLOSING)
            found.stream.seek(len(head))
        raise NoRoom

    def _stream(self, header: StoreHeader, begun: bytes, rest: IO[bytes]) -> Answer | None:
        """What the door answers; None where the file couldn't be read to its end."""
        incoming = self._reception.open(header)
        if isinstance(incoming, RefusedStorage):
            return Answer(incoming.status)
        piece = begun
        try:
            while piece:
                try:
                    incoming.write(piece)
                except OSError:
                    incoming.abandon()
                    return Answer.NO_ROOM
                try:
                    piece = rest.read(_PIECE)
                except READ_ERRORS:
                    incoming.abandon()
                    return None
        except KeyboardInterrupt:
            incoming.abandon()
            raise
        answer = incoming.commit()
        return Answer.STORED if isinstance(answer, Accepted) else Answer(answer.status)
