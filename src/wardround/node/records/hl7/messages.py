"""Messages out of files: one or many, in batches or not, as MLLP sent them, with whatever ends of lines.

Source: HL7 2.5.1, 2.10.3 (batches: FHS, BHS, BTS, FTS); HL7 Transport Specification: MLLP, release 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.hl7 import er7

SUFFIXES = (".hl7", ".txt", ".msg", ".dat", ".er7")
_CHUNK = 64 * 1024
_START, _END = 0x0B, 0x1C
_ENDS = bytes((_START, _END, 0x0D, 0x0A))
_TO_RETURNS = bytes.maketrans(_ENDS, b"\r" * len(_ENDS))
_BATCH = (b"FHS", b"BHS", b"BTS", b"FTS")


def messages(path: Path) -> Iterator[bytes | None]:
    """Each message of a file, its segments ended by carriage returns; None for one that is too large.

    What stands before the first MSH, and isn't of a batch, is a message too: one that can't be understood.
    """
    held: list[bytes] = []
    size = 0
    for line in _segments(path):
        mark = line[:3]
        if mark == b"MSH" or mark in _BATCH:
            if held:
                yield _whole(held, size)
            held, size = [], 0
            if mark in _BATCH:
                continue
        size += len(line) + 1
        # Of a message that is too large no more is kept than is needed to say so.
        if size <= er7.LARGEST_MESSAGE or not held:
            held.append(line[: er7.LARGEST_MESSAGE + 1])
    if held:
        yield _whole(held, size)


def _whole(held: list[bytes], size: int) -> bytes | None:
    return b"\r".join(held) + b"\r" if size <= er7.LARGEST_MESSAGE else None


def _segments(path: Path) -> Iterator[bytes]:
    """The lines of a file, ended by any of CR, LF and MLLP's marks; none is held beyond the largest message."""
    rest = b""
    try:
        with path.open("rb") as file:
            first = True
            while piece := file.read(_CHUNK):
                if first:
                    piece, first = piece.removeprefix(b"\xef\xbb\xbf"), False
                lines = (rest + piece.translate(_TO_RETURNS)).split(b"\r")
                rest = lines.pop()[: er7.LARGEST_MESSAGE + 1]
                yield from (line for line in lines if line.strip())
    except OSError as error:
        raise RecordsRefused(f"{path}: can't be read ({error.strerror}); mend that, and load again") from None
    if rest.strip():
        yield rest
