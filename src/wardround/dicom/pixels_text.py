"""Words in a picture, read by Tesseract: a program of its own, called without a file on disk.

A frame is prepared in several ways (layers) and four quarter turns, since burned-in text is small, of either polarity,
and sometimes on its side. Pages go to a process as one multi-page TIFF, as many as fit into memory.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_layers import Picture, layers

PROGRAM = "tesseract"
SECONDS = 90.0
_BORDER = 16
_BATCH_PIXELS = 40_000_000
_TURNS = (0, 1, 2, 3)
_SPARSE_TEXT = "11"


class ReaderMissing(Exception):
    """Tesseract isn't installed on this machine."""


class ReaderFailed(Exception):
    """Tesseract ended with an error, or wasn't done in time."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it was read: 0 to 100 sure, and where. The text isn't shown by `repr`."""

    text: str = field(repr=False)
    sure: float
    box: Box
    page: int


@dataclass(frozen=True, slots=True)
class _Page:
    frame: int | None
    turn: int
    scale: int
    shape: tuple[int, int]
    image: Image.Image

    def box(self, left: int, top: int, width: int, height: int) -> Box:
        """A rectangle of the page as one of the frame, a pixel wider on each side."""
        edges = [(top, left), (top + height, left + width)]
        (r0, c0), (r1, c1) = [((r - _BORDER) // self.scale, (c - _BORDER) // self.scale) for r, c in edges]
        rows, columns = self.shape
        if self.turn == 1:
            r0, r1, c0, c1 = c0, c1, columns - 1 - r1, columns - 1 - r0
        elif self.turn == 2:
            r0, r1, c0, c1 = rows - 1 - r1, rows - 1 - r0, columns - 1 - c1, columns - 1 - c0
        elif self.turn == 3:
            r0, r1, c0, c1 = rows - 1 - c1, rows - 1 - c0, r0, r1
        r0, c0 = min(max(r0 - 1, 0), rows - 1), min(max(c0 - 1, 0), columns - 1)
        r1, c1 = min(max(r1 + 1, r0), rows - 1), min(max(c1 + 1, c0), columns - 1)
        return Box(r0, c0, r1 - r0 + 1, c1 - c0 + 1, self.frame)


class TextReader:
    """Reads the words of frames.

    Args:
        program: Tesseract's name or path.
        seconds: how long one object may take; less than a node gives a process that de-identifies.
    """

    def __init__(self, program: str = PROGRAM, seconds: float = SECONDS) -> None:
        self._program = program
        self._seconds = seconds

    def available(self) -> bool:
        return shutil.which(self._program) is not None

    def words(self, pictures: Iterable[Picture]) -> list[Word]:
        """The words of pictures, in the order in which they were read.

        Raises:
            ReaderMissing: Tesseract isn't here.
            ReaderFailed: it failed, or took too long.
        """
        until = time.monotonic() + self._seconds
        found: list[Word] = []
        first = 0
        for pages in _batches(page for picture in pictures for page in _pages(picture)):
            tiff = io.BytesIO()
            pages[0].image.save(tiff, "TIFF", save_all=True, append_images=[page.image for page in pages[1:]])
            found += _words(self._run(tiff.getvalue(), until - time.monotonic()), pages, first)
            first += len(pages)
        return found

    def _run(self, tiff: bytes, seconds: float) -> str:
        arguments = ("stdin", "stdout", "--psm", _SPARSE_TEXT, "-l", "eng", "--dpi", "150", "tsv")
        try:
            done = subprocess.run(
                (self._program, *arguments),
                input=tiff,
                capture_output=True,
                timeout=max(seconds, 0.01),
                check=True,
                env={"PATH": os.environ.get("PATH", os.defpath), "OMP_THREAD_LIMIT": "1"},
            )
        except FileNotFoundError:
            raise ReaderMissing from None
        except (subprocess.SubprocessError, OSError):
            raise ReaderFailed from None
        return done.stdout.decode("utf-8", "replace")


def _batches(pages: Iterable[_Page]) -> Iterator[list[_Page]]:
    """Pages in groups that fit into memory, whatever the size of the object."""
    batch: list[_Page] = []
    size = 0
    for page in pages:
        batch.append(page)
        size += page.image.width * page.image.height
        if size >= _BATCH_PIXELS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _words(table: str, pages: Sequence[_Page], first: int) -> Iterator[Word]:
    """The words in Tesseract's table: level, page, three places, word number, left, top, width, height, conf, text.

    Raises:
        ReaderFailed: a page isn't in the table, so that nothing can be said of it.
    """
    seen: set[int] = set()
    for line in table.splitlines():
        cells = line.split("\t")
        if len(cells) != 12 or not cells[1].isdecimal():
            continue
        seen.add(int(cells[1]))
        if cells[0] != "5" or not cells[11].strip():
            continue
        page = pages[int(cells[1]) - 1]
        left, top, width, height = (int(cell) for cell in cells[6:10])
        yield Word(cells[11].strip(), float(cells[10]), page.box(left, top, width, height), first + int(cells[1]))
    if seen != set(range(1, len(pages) + 1)):
        raise ReaderFailed


def _pages(picture: Picture) -> Iterator[_Page]:
    for layer in layers(picture):
        shape = (layer.shape[0], layer.shape[1])
        scale = _scale(max(shape))
        for turn in _TURNS if picture.turned else _TURNS[:1]:
            turned = Image.fromarray(np.ascontiguousarray(np.rot90(layer, turn)))
            size = (turned.width * scale, turned.height * scale)
            large = np.asarray(turned.resize(size, Image.Resampling.BICUBIC))
            yield _Page(picture.frame, turn, scale, shape, Image.fromarray(np.pad(large, _BORDER, mode="edge")))


def _scale(longest: int) -> int:
    """How much to enlarge a frame so that text of 12 pixels is as high as Tesseract reads best."""
    for limit, scale in ((160, 4), (240, 3), (1400, 2)):
        if longest <= limit:
            return scale
    return 1
