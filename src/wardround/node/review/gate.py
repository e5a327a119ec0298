"""The gate between quarantine and de-identification: what may go on, and what waits for a person."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_facts import PixelFacts, read_facts
from wardround.dicom.pixels_screening import Screener, Screening, Verdict
from wardround.dicom.statement import Identity
from wardround.foundation.database import Database
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.review.queries import packed as packed
from wardround.node.review.queries import unpacked as unpacked
from wardround.node.review.state import ReviewState
from wardround.node.review.tables import PixelReview

log = logging.getLogger(__name__)

REFUSED_BY_A_PERSON = "refused-in-review"


@dataclass(frozen=True, slots=True)
class Go:
    """The pixels may stay as they are. `decided`: a person said so, whatever the header says of burned-in text."""

    decided: bool = False


@dataclass(frozen=True, slots=True)
class Redact:
    """The pixels may go on with these boxes blackened in the de-identified object, by
    `wardround.dicom.pixels_redaction.redact`. `decided` as in `Go`."""

    boxes: tuple[Box, ...]
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """A person must look; hand it to `Gate.hold`."""

    reasons: tuple[str, ...]
    screening: Screening = field(repr=False)
    facts: PixelFacts = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refuse:
    """It can't go on. `reason` is a code for the instance's row."""

    reason: str


Passage = Go | Redact | Wait | Refuse


class Gate:
    """Screens pixels, asks people, and remembers what they decided by the digest of the object's content.

    Args:
        database: the node's database, upgraded.
        screener: how pixels are screened here.
    """

    def __init__(self, database: Database, screener: Screener) -> None:
        self._database = database
        self._screener = screener
        if not screener.ready():
            log.warning(
                "tesseract isn't installed: every image that isn't clear by its header waits for a person; install "
                "tesseract-ocr to have fewer wait"
            )

    def check(self, digest: str, part10: bytes, identity: Identity) -> Passage:
        """Whether an object may go on.

        Args:
            digest: `ReceivedInstance.digest`.
            part10: the object as it was received.
            identity: what its header says of whose it is: looked for in the pixels, kept nowhere.
        """
        facts = read_facts(part10)
        screening = self._screener.by_header(facts)
        if screening is None or screening.verdict is not Verdict.CLEAR:
            remembered = self._remembered(digest)
            if remembered is not None:
                return remembered
        if screening is None:
            screening = self._screener.by_reading(part10, facts, identity)
        return passage(screening, facts)

    def hold(self, session: Session, waits: Mapping[int, Wait], moment: datetime) -> None:
        """Put instances before a person, by the ids of their rows, in the caller's transaction: their state is
        `review`, and they stay in quarantine."""
        check_step(State.RECEIVED, State.REVIEW)
        for number, wait in waits.items():
            instance = session.get_one(ReceivedInstance, number)
            row = session.scalar(select(PixelReview).where(PixelReview.digest == instance.digest))
            if row is None:
                row = PixelReview(digest=instance.digest)
                session.add(row)
            facts, screening = wait.facts, wait.screening
            row.instance_id, row.series_key = number, instance.series_key
            row.sop_class, row.modality = facts.sop_class[:64], facts.modality[:16]
            row.image_frames, row.rows, row.columns = facts.frames, facts.rows, facts.columns
            row.reasons, row.frames = list(screening.reasons), list(screening.frames)
            row.found = packed(screening.boxes)
            row.state, row.asked_at = ReviewState.WAITING.value, moment
            row.decided_at = row.decided_by = row.reason = None
            row.blackened = []
            session.execute(
                update(ReceivedInstance)
                .where(ReceivedInstance.id == number)
                .values(state=State.REVIEW.value, reason=screening.reasons[0], changed_at=moment)
                .execution_options(synchronize_session=False)
            )

    def _remembered(self, digest: str) -> Passage | None:
        columns = (PixelReview.state, PixelReview.blackened)
        with self._database.reading() as session:
            row = session.execute(select(*columns).where(PixelReview.digest == digest)).one_or_none()
        if row is None or row.state == ReviewState.WAITING:
            return None
        if row.state == ReviewState.APPROVED:
            return Go(decided=True)
        if row.state == ReviewState.REDACTED:
            return Redact(tuple(unpacked(box) for box in row.blackened), decided=True)
        return Refuse(REFUSED_BY_A_PERSON)


def passage(screening: Screening, facts: PixelFacts) -> Passage:
    """What a screening alone means for an object's way."""
    if screening.verdict is Verdict.CLEAR:
        return Go()
    if screening.verdict is Verdict.REDACT:
        return Redact(screening.boxes)
    if screening.verdict is Verdict.REFUSED:
        return Refuse(screening.reasons[0])
    return Wait(screening.reasons, screening, facts)
