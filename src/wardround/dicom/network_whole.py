"""For a sink of whole objects: collects what streams in."""

from __future__ import annotations

import errno

from wardround.dicom.network_messages import Accepted, Incoming, Received, RefusedStorage, Sink, StoreHeader

LARGEST = 1 << 30


class WholeObjects:
    """A :class:`~wardround.dicom.network_messages.Landing` that hands each object whole to ``sink``.

    Args:
        sink: stores an object; may raise OSError.
        largest: bytes of a data set above which an object is refused with 0xA700, for it is held in memory.
    """

    def __init__(self, sink: Sink, *, largest: int = LARGEST) -> None:
        self._sink = sink
        self._largest = largest

    def open(self, header: StoreHeader) -> Incoming:
        """Begin an object in memory."""
        return _Whole(header, self._sink, self._largest)


class _Whole:
    def __init__(self, header: StoreHeader, sink: Sink, largest: int) -> None:
        self._header = header
        self._sink = sink
        self._largest = largest
        self._data = bytearray()

    def write(self, piece: memoryview | bytes) -> None:
        if len(self._data) + len(piece) > self._largest:
            raise OSError(errno.EFBIG, "the object is larger than what is held in memory")
        self._data += piece

    def commit(self) -> Accepted | RefusedStorage:
        header = self._header
        return self._sink(
            Received(
                called_ae=header.called_ae,
                calling_ae=header.calling_ae,
                sop_class_uid=header.sop_class_uid,
                sop_instance_uid=header.sop_instance_uid,
                transfer_syntax_uid=header.transfer_syntax_uid,
                dataset_bytes=bytes(self._data),
            )
        )

    def abandon(self) -> None:
        self._data = bytearray()
