"""Rectangles of an image, as screening finds and redaction blackens them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle of pixels: its top left corner counted from 0, its size, and the frame, counted from 1.

    `frame` is None where the rectangle stands for every frame.
    """

    row: int
    column: int
    height: int
    width: int
    frame: int | None = None

    def __post_init__(self) -> None:
        if min(self.row, self.column) < 0 or min(self.height, self.width) < 1:
            raise ValueError("a box begins at row and column 0 or more and is at least one pixel high and wide")
        if self.frame is not None and self.frame < 1:
            raise ValueError("frames are counted from 1")

    @property
    def rows(self) -> slice:
        return slice(self.row, self.row + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.column, self.column + self.width)

    def of(self, frame: int) -> bool:
        """Whether the box lies in this frame (from 1)."""
        return self.frame is None or self.frame == frame


def outside(kept: Box, rows: int, columns: int) -> tuple[Box, ...]:
    """The boxes that cover all of an image of `rows` x `columns` but `kept`."""
    bottom, right = min(kept.row + kept.height, rows), min(kept.column + kept.width, columns)
    bands = (
        (0, 0, kept.row, columns),
        (bottom, 0, rows - bottom, columns),
        (kept.row, 0, bottom - kept.row, kept.column),
        (kept.row, right, bottom - kept.row, columns - right),
    )
    return tuple(Box(*band, kept.frame) for band in bands if band[2] > 0 and band[3] > 0)
