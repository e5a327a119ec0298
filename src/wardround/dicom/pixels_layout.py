"""How native pixel data lie in their bytes (PS3.5 section 8, PS3.3 C.7.6.3), and how a box of them is made black."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.dicom.errors import Reason, Refused
from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_elements import Elements

_BLACK = {
    "YBR_FULL": (0, 128, 128),
    "YBR_FULL_422": (0, 0, 128, 128),
    "YBR_PARTIAL_422": (16, 16, 128, 128),
}
_HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Photometric interpretations in which two pixels share their colour: Y, Y, CB, CR."""
_KINDS = {8: "u1", 16: "u2", 32: "u4", 64: "u8"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of a picture's bytes.

    kind: of one sample, as numpy names it; empty for single bits. swapped: bytes lie in 16-bit words of the other
    order (8-bit samples as OW in Big Endian). stored: how many bits of a sample are the value; signed, as it says.
    darkest: for a palette, the entry that shows as black.
    """

    frames: int
    rows: int
    columns: int
    samples: int
    planar: bool
    kind: str
    photometric: str
    stored: int
    signed: bool
    swapped: bool
    darkest: int | None

    @classmethod
    def of(cls, elements: Elements, vr: bytes, kind: str, big_endian: bool) -> Layout:
        """The layout that the header says. `kind` is given for float pixel data."""
        rows, columns = elements.number(0x00280010) or 0, elements.number(0x00280011) or 0
        bits = elements.number(0x00280100) or 0
        frames = elements.text(0x00280008) or "1"
        if not rows or not columns or not frames.isdecimal() or not (kind or bits == 1 or bits in _KINDS):
            raise Refused(Reason.PIXEL_LENGTH, "the picture has no size, or samples of a size that isn't known here")
        photometric = elements.text(0x00280004).upper()
        order = ">" if big_endian else "<"
        return cls(
            frames=max(int(frames), 1),
            rows=rows,
            columns=columns,
            samples=elements.number(0x00280002) or 1,
            planar=elements.number(0x00280006) == 1,
            kind="" if bits == 1 and not kind else order + (kind or _KINDS[bits]),
            photometric=photometric,
            stored=min(elements.number(0x00280101) or bits, bits or 64),
            signed=elements.number(0x00280103) == 1,
            swapped=big_endian and vr == b"OW" and bits == 8,
            darkest=_darkest(elements, order) if photometric == "PALETTE COLOR" else None,
        )

    def blackened(self, data: bytes, boxes: Sequence[Box]) -> bytes:
        """A copy of `data` in which all samples of `boxes` are black. What lies behind the picture goes.

        Raises:
            Refused: `data` are too short for the picture.
            ValueError: a box lies outside of the picture.
        """
        for box in boxes:
            beyond = box.row >= self.rows or box.column >= self.columns
            if beyond or (box.frame is not None and box.frame > self.frames):
                raise ValueError(
                    f"a box lies outside of the picture, which has {self.frames} frames of {self.rows} rows and "
                    f"{self.columns} columns"
                )
        picture = self._picture(data)
        if self.photometric in _HALVED and self.samples == 3:
            self._fill(picture[:, :, :, :], boxes, np.array(_BLACK[self.photometric], picture.dtype), halved=True)
        elif self.planar and self.samples > 1:
            self._fill(np.moveaxis(picture, 1, -1), boxes, self._black(picture))
        else:
            self._fill(picture, boxes, self._black(picture))
        return self._bytes(picture)

    def emptied(self, data: bytes, mask: NDArray[np.bool_]) -> bytes:
        """A copy of `data`, a picture of one frame and one sample, that is black where `mask` (rows, columns) is set.

        Raises:
            Refused: it is another kind of picture, or `data` are too short.
        """
        if (self.frames, self.samples) != (1, 1) or mask.shape != (self.rows, self.columns):
            raise Refused(Reason.PIXEL_LENGTH, "a slice isn't one grey picture of the size of its series")
        picture = self._picture(data)
        picture[0][mask] = self._black(picture)
        return self._bytes(picture)

    def _fill(
        self, picture: NDArray[np.generic], boxes: Sequence[Box], black: NDArray[np.generic], halved: bool = False
    ) -> None:
        for box in boxes:
            frames = slice(None) if box.frame is None else slice(box.frame - 1, box.frame)
            columns = box.columns
            if halved:
                columns = slice(columns.start // 2, math.ceil(columns.stop / 2))
            picture[frames, box.rows, columns] = black

    def _picture(self, data: bytes) -> NDArray[np.generic]:
        shape: tuple[int, ...] = (self.frames, self.rows, self.columns)
        if self.photometric in _HALVED and self.samples == 3:
            if self.columns % 2:
                raise Refused(Reason.PIXEL_LENGTH, "the picture halves its colours and has an odd number of columns")
            shape = (self.frames, self.rows, self.columns // 2, 4)
        elif self.samples > 1:
            shape = (*shape, self.samples)
            if self.planar:
                shape = (self.frames, self.samples, self.rows, self.columns)
        count = math.prod(shape)
        if not self.kind:
            if len(data) * 8 < count:
                raise _short()
            return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:count].reshape(shape)
        kind = np.dtype(self.kind)
        if len(data) < count * kind.itemsize:
            raise _short()
        if self.swapped:
            whole = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
            return np.frombuffer(whole, kind, count).reshape(shape).copy()
        return np.frombuffer(data, kind, count).reshape(shape).copy()

    def _bytes(self, picture: NDArray[np.generic]) -> bytes:
        if not self.kind:
            bits = np.packbits(picture.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
            return bits + b"\0" * (len(bits) % 2)
        data = picture.tobytes()
        data += b"\0" * (len(data) % 2)
        return np.frombuffer(data, "<u2").astype(">u2").tobytes() if self.swapped else data

    def _black(self, picture: NDArray[np.generic]) -> NDArray[np.generic]:
        """What is shown as black: for a grey picture the darkest value that it holds, so that its range stays."""
        if self.samples > 1:
            return np.array(_BLACK.get(self.photometric, (0,) * self.samples), picture.dtype)
        if self.darkest is not None:
            return np.array(self.darkest, picture.dtype)
        flat = picture.reshape(-1)
        values = flat
        if flat.dtype.kind == "u" and self.signed:
            bits = flat.dtype.itemsize * 8
            shift = bits - min(self.stored, bits)
            values = (flat.astype(f"u{flat.dtype.itemsize}") << shift).view(f"i{flat.dtype.itemsize}")
        at = int(np.argmax(values)) if self.photometric == "MONOCHROME1" else int(np.argmin(values))
        return np.array(flat[at], picture.dtype)


def _short() -> Refused:
    return Refused(Reason.PIXEL_LENGTH, "the pixel data are shorter than the picture; store it again")


def _darkest(elements: Elements, order: str) -> int:
    """The palette's darkest entry as a pixel value (PS3.3 C.7.6.3.1.5); 0 where the palette is stored in segments."""
    descriptor = elements.numbers(0x00281101)
    if len(descriptor) != 3:
        return 0
    entries, first, bits = descriptor[0] or 65536, descriptor[1], descriptor[2]
    light = np.zeros(entries)
    for tag in (0x00281201, 0x00281202, 0x00281203):
        raw = elements.raw(tag)
        kind = "u1" if bits == 8 and len(raw) < 2 * entries else order + "u2"
        if len(raw) < entries * np.dtype(kind).itemsize:
            return 0
        light += np.frombuffer(raw, kind, entries)
    return int(np.argmin(light)) + first
