"""The reader of HL7 v2: a file of messages, or a folder of them, oldest first by their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.given import files_of
from wardround.node.records.hl7.conventions import Conventions, read_conventions
from wardround.node.records.hl7.er7 import NotAMessage, parse
from wardround.node.records.hl7.messages import SUFFIXES, messages
from wardround.node.records.hl7.taking import records
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Reader, Rejected, Row
from wardround.node.records.sources import Options


def source(options: Options) -> Reader:
    """The reader for `wardround node records load --as hl7`; its mapping is that of `conventions`.

    Raises:
        RecordsRefused: the mapping can't be used, or a link file is given.
    """
    if options.link is not None:
        raise RecordsRefused("HL7 takes no link file; say under [identifiers] of a mapping file which number counts")
    conventions = read_conventions(Path(options.mapping) if options.mapping else None)
    return lambda path: read(path, conventions)


def read(path: Path, conventions: Conventions) -> Iterator[Row | Rejected]:
    """Every message of a file, or of the files of a folder.

    Raises:
        RecordsRefused: there is no such file, or no HL7 in the folder.
    """
    for number, file in enumerate(files_of(path, SUFFIXES, "HL7"), start=1):
        for at, raw in enumerate(messages(file), start=1):
            where = f"file {number} message {at}"
            if raw is None:
                yield Rejected(Reason.TOO_LARGE, where)
            else:
                yield from message_records(raw, conventions, where)


def message_records(raw: bytes, conventions: Conventions, where: str) -> Iterator[Row | Rejected]:
    """What one message tells."""
    try:
        message = parse(raw)
    except NotAMessage as refused:
        yield Rejected(Reason.MALFORMED, f"{where}: {refused}")
        return
    yield from records(message, conventions, where)
