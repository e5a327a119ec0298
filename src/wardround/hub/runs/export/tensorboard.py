"""A run's history as TensorBoard event files, written by hand.

An event file is a row of records: the length of the data (8 bytes, little-endian), a masked CRC-32C of these, the data,
a masked CRC-32C of the data (TensorFlow, tensorflow/core/lib/io/record_writer.h). The data are `Event` messages in
Protocol Buffers' wire format (tensorflow/core/util/event.proto, summary.proto). That is forty lines; the package
`tensorboard` with all that it needs stays one of those that only the tests install, to read the files back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from wardround.foundation.files import write_whole
from wardround.hub.runs.history import History

VERSION = b"brain.Event:2"
"""What every event file begins with."""

TOGETHER = "all"
"""The folder of what is told of all sites together. A site's own begins with `site-`, so that none is called this."""


def as_tensorboard(told: History, folder: Path) -> Path:
    """A folder named after the run; in it one for each site, so that their curves lie over each other, and one for all
    together. Steps are rounds. Returns the folder."""
    target, run, when = folder / told.run.id, told.run, told.when
    target.mkdir(parents=True)
    events: dict[str, list[bytes]] = {TOGETHER: []}
    for row in told.rounds:
        values = {"seconds": row.seconds}
        if row.score is not None:
            values[told.plan.metric] = row.score
        events[TOGETHER].append(_event(row.committed_at, row.number, values))
    for (number, site), score in told.scores.items():
        events.setdefault(_folder(site), []).append(_event(when[number], number, {told.plan.metric: score}))
    for part in told.parts:
        if part.state == "taken":
            values = {"seconds": part.seconds, "bytes/up": part.bytes_up, "bytes/down": part.bytes_down}
            events.setdefault(_folder(part.site), []).append(_event(when[part.round], part.round, values))
    name = f"events.out.tfevents.{int(run.started_at.timestamp())}.wardround"
    for where, found in events.items():
        (target / where).mkdir()
        first = _double(1, run.started_at.timestamp()) + _bytes(3, VERSION)
        write_whole(target / where / name, b"".join(map(_record, [first, *found])), mode=0o644)
    return target


def _folder(site: str) -> str:
    return f"site-{site}"


def _event(at: datetime, step: int, values: dict[str, float]) -> bytes:
    """`Event` {wall_time 1, step 2, summary 5 {value 1 {tag 1, simple_value 2}}}."""
    summary = b"".join(
        _bytes(1, _bytes(1, tag.encode()) + struct.pack("<Bf", 2 << 3 | 5, value)) for tag, value in values.items()
    )
    return _double(1, at.timestamp()) + bytes([2 << 3]) + _varint(step) + _bytes(5, summary)


def _double(field: int, value: float) -> bytes:
    return struct.pack("<Bd", field << 3 | 1, value)


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def _masked(data: bytes) -> int:
    """A checksum that may itself be summed: rotated right by 15 bits, plus a constant (`crc32c::Mask`)."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> Iterator[int]:
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        yield crc


_TABLE = tuple(_table())


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), as iSCSI has it (RFC 3720, 12.1)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
