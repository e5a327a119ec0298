"""A person looks at an image and decides. Each act names its actor and is in the audit, looking included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pydicom
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wardround.dicom.damage import DAMAGE
from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_reading import Undecodable, png
from wardround.dicom.pixels_rules import ScreeningReason
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node.audit import record
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.review.gate import REFUSED_BY_A_PERSON
from wardround.node.review.queries import packed, row_of, unpacked
from wardround.node.review.state import ReviewState, check_transition
from wardround.node.review.tables import PixelReview

ONE_BY_ONE = frozenset(
    {
        ScreeningReason.IDENTIFIER_IN_PIXELS.value,
        ScreeningReason.UNDECODABLE.value,
        ScreeningReason.READER_FAILED.value,
    }
)
"""Reasons for which an object is approved by itself, never with its series."""
Draw = Callable[[bytes, int, Sequence[tuple[int, int, int, int]]], bytes]
_LONGEST_REASON = 500
_NAMED = ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber")


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision covered: the questions decided, and those of the series that were left, each with the reason."""

    done: tuple[int, ...]
    left: dict[int, str] = field(default_factory=dict)


class Reviews:
    """The questions to people at one node.

    Args:
        database: the node's database, upgraded.
        quarantine: where the originals are.
        draw: `png`, or what calls it in a process of its own, where many people look.
    """

    def __init__(self, database: Database, quarantine: Path, *, clock: Clock = now, draw: Draw = png) -> None:
        self._database = database
        self._quarantine = quarantine
        self._clock = clock
        self._draw = draw

    def look(self, number: int, *, frame: int = 1, boxes: bool = True, actor: str) -> bytes:
        """One frame (from 1) of the original as a PNG file, with the boxes in question outlined.

        The picture may show who the patient is: it is for a person at this hospital and stays on this machine.

        Raises:
            NotFound: there is no such question or frame, or the original is gone.
            NotAllowed: the frame can't be decoded here.
        """
        with self._database.reading() as session:
            row = row_of(session, number)
            part10 = self._original(session, row)
            outlined = [unpacked(box) for box in (row.blackened or row.found)]
            frames = row.image_frames
        if not 1 <= frame <= frames:
            raise NotFound(f"review {number} is about an image of {frames} frames; choose one from 1 to {frames}")
        shown = [(box.row, box.column, box.height, box.width) for box in outlined if boxes and box.of(frame)]
        try:
            picture = self._draw(part10, frame, shown)
        except Undecodable:
            raise NotAllowed(
                f"the pixels of review {number} can't be decoded here; refuse it, or have it stored uncompressed"
            ) from None
        self._told(actor, "look-at-pixels", number, f"frame {frame}")
        return picture

    def identity(self, number: int, *, actor: str) -> dict[str, str]:
        """Whose image it is, as its header says: what to look for in the picture. Audited.

        Raises:
            NotFound: there is no such question, or the original is gone.
            NotAllowed: the header can't be read.
        """
        with self._database.reading() as session:
            part10 = self._original(session, row_of(session, number))
        try:
            dataset = pydicom.dcmread(BytesIO(part10), stop_before_pixels=True, specific_tags=list(_NAMED))
            found = {keyword: str(dataset.get(keyword, "")) for keyword in _NAMED}
        except DAMAGE:
            raise NotAllowed(f"the header of review {number} can't be read; refuse it") from None
        self._told(actor, "look-at-identity", number)
        return found

    def approve(self, number: int, reason: str, *, actor: str, series: bool = False) -> Decided:
        """Let an image pass as it is; with `series`, all that wait of its series, but those of `ONE_BY_ONE`."""
        return self._decide(number, ReviewState.APPROVED, reason, actor, series=series)

    def redact(self, number: int, boxes: Sequence[Box], reason: str, *, actor: str, series: bool = False) -> Decided:
        """Let an image pass with these boxes blackened; with `series`, all that wait of its series and are of its size.

        Without `boxes`, those that screening found.

        Raises:
            NotAllowed: there are no boxes, or one lies outside of the image.
        """
        return self._decide(number, ReviewState.REDACTED, reason, actor, boxes=tuple(boxes), series=series)

    def refuse(self, number: int, reason: str, *, actor: str, series: bool = False) -> Decided:
        """Keep an image out; with `series`, all that wait of its series."""
        return self._decide(number, ReviewState.REFUSED, reason, actor, series=series)

    def _decide(
        self,
        number: int,
        new: ReviewState,
        reason: str,
        actor: str,
        *,
        boxes: tuple[Box, ...] = (),
        series: bool = False,
    ) -> Decided:
        said = " ".join(reason.split())
        if not said or len(said) > _LONGEST_REASON:
            raise NotAllowed(f"a decision needs a reason in words, at most {_LONGEST_REASON} characters")
        left: dict[int, str] = {}
        done: list[int] = []
        with self._database.writing() as session:
            asked = row_of(session, number)
            check_transition(number, ReviewState(asked.state), new)
            rows = [asked]
            if series:
                rows += session.scalars(
                    select(PixelReview)
                    .where(
                        PixelReview.series_key == asked.series_key,
                        PixelReview.state == ReviewState.WAITING.value,
                        PixelReview.id != number,
                    )
                    .order_by(PixelReview.id)
                )
            for row in rows:
                why_not = _left_out(row, asked, new)
                if why_not and row is not asked:
                    left[row.id] = why_not
                    continue
                blackened = _checked(row, boxes) if new is ReviewState.REDACTED else ()
                self._settle(session, row, new, said, actor, blackened)
                done.append(row.id)
        return Decided(tuple(done), left)

    def _settle(
        self, session: Session, row: PixelReview, new: ReviewState, said: str, actor: str, boxes: Sequence[Box]
    ) -> None:
        moment = self._clock()
        instance = session.get_one(ReceivedInstance, row.instance_id)
        after = State.REFUSED if new is ReviewState.REFUSED else State.RECEIVED
        # An original that was lost and sent again is on its way already; the decision waits for it by its digest.
        if State(instance.state) is not State.RECEIVED:
            check_step(State(instance.state), after)
        why = REFUSED_BY_A_PERSON if after is State.REFUSED else None
        session.execute(
            update(ReceivedInstance)
            .where(ReceivedInstance.id == row.instance_id)
            .values(state=after.value, reason=why, changed_at=moment)
            .execution_options(synchronize_session=False)
        )
        row.state, row.decided_at, row.decided_by, row.reason = new.value, moment, actor, said
        row.blackened = packed(boxes)
        verb = {ReviewState.APPROVED: "approve", ReviewState.REDACTED: "redact", ReviewState.REFUSED: "refuse"}[new]
        areas = f"{len(boxes)} areas; " if boxes else ""
        record(session, actor, f"{verb}-pixels", f"review {row.id}", areas + said, clock=self._clock)

    def _told(self, actor: str, verb: str, number: int, detail: str = "") -> None:
        with self._database.writing() as session:
            record(session, actor, verb, f"review {number}", detail, clock=self._clock)

    def _original(self, session: Session, row: PixelReview) -> bytes:
        instance = session.get(ReceivedInstance, row.instance_id)
        gone = NotFound(f"the original of review {row.id} is no longer in quarantine; nothing is left to look at")
        if instance is None or instance.file is None:
            raise gone
        try:
            return (self._quarantine / instance.file).read_bytes()
        except FileNotFoundError:
            raise gone from None


def _left_out(row: PixelReview, asked: PixelReview, new: ReviewState) -> str:
    """Why an image of the series isn't decided along with the one that a person looked at; empty if it is."""
    if new is ReviewState.APPROVED:
        return next((reason for reason in row.reasons if reason in ONE_BY_ONE), "")
    if new is ReviewState.REDACTED and (row.rows, row.columns) != (asked.rows, asked.columns):
        return "another-size"
    return ""


def _checked(row: PixelReview, boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes to blacken in an image: those given, or those that were found in it."""
    chosen = tuple(dict.fromkeys(boxes or (unpacked(box) for box in row.found)))
    if not chosen:
        raise NotAllowed(f"nothing was found in review {row.id} to blacken; say where: --box ROW,COLUMN,HEIGHT,WIDTH")
    for box in chosen:
        if box.row >= row.rows or box.column >= row.columns or (box.frame or 1) > row.image_frames:
            raise NotAllowed(
                f"a box lies outside of review {row.id}, which has {row.image_frames} frames of {row.rows} rows and "
                f"{row.columns} columns"
            )
    return chosen
