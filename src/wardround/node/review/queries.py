"""What waits for a person, and what people decided. Nothing here tells whose an image is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.uid import UID
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.dicom.pixels_boxes import Box
from wardround.foundation.errors import NotFound
from wardround.node.review.state import ReviewState
from wardround.node.review.tables import PixelReview

SHOWN_KEY = 8


@dataclass(frozen=True, slots=True)
class Review:
    """One object's question and its answer, for a list or a page.

    series: the first letters of the series' keyed digest: enough to tell series apart, and says nothing. frames: those
    that were read, of `image_frames`. found: where text was found. blackened: what a person had blackened.
    """

    id: int
    series: str
    kind: str
    modality: str
    image_frames: int
    rows: int
    columns: int
    reasons: tuple[str, ...]
    frames: tuple[int, ...]
    found: tuple[Box, ...]
    state: ReviewState
    asked_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    blackened: tuple[Box, ...]


def reviews(
    session: Session, *, state: ReviewState | None = ReviewState.WAITING, like: int | None = None, most: int = 500
) -> list[Review]:
    """The questions in a state (None: in any), the oldest first.

    Args:
        like: only those of the same series as this question.
        most: how many at most.
    """
    query = select(PixelReview).order_by(PixelReview.asked_at, PixelReview.id).limit(most)
    if state is not None:
        query = query.where(PixelReview.state == state.value)
    if like is not None:
        query = query.where(PixelReview.series_key == row_of(session, like).series_key)
    return [_review(row) for row in session.scalars(query)]


def review(session: Session, number: int) -> Review:
    """One question. Raises `NotFound`."""
    return _review(row_of(session, number))


def counts(session: Session) -> dict[str, int]:
    """How many questions are in each state."""
    query = select(PixelReview.state, func.count()).group_by(PixelReview.state).order_by(PixelReview.state)
    return dict(session.execute(query).all())


def row_of(session: Session, number: int) -> PixelReview:
    row = session.get(PixelReview, number)
    if row is None:
        raise NotFound(f"there is no review {number} here; see `wardround deid review`")
    return row


def packed(boxes: Sequence[Box]) -> list[list[int | None]]:
    """Boxes as a table keeps them: row, column, height, width, frame."""
    return [[box.row, box.column, box.height, box.width, box.frame] for box in boxes]


def unpacked(values: Sequence[int | None]) -> Box:
    """One box as a table keeps it."""
    row, column, height, width = (int(value or 0) for value in values[:4])
    return Box(row, column, height, width, values[4])


def _review(row: PixelReview) -> Review:
    kind = UID(row.sop_class).name if row.sop_class else ""
    return Review(
        id=row.id,
        series=row.series_key[:SHOWN_KEY],
        kind=kind,
        modality=row.modality,
        image_frames=row.image_frames,
        rows=row.rows,
        columns=row.columns,
        reasons=tuple(row.reasons),
        frames=tuple(row.frames),
        found=tuple(unpacked(box) for box in row.found),
        state=ReviewState(row.state),
        asked_at=row.asked_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        reason=row.reason,
        blackened=tuple(unpacked(box) for box in row.blackened),
    )
