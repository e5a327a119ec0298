"""The gate between quarantine and the enclave: an object whose pixels didn't pass the screening waits for a person."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wardround.dicom.pixels_facts import PixelFacts
from wardround.dicom.pixels_screening import Screener, Screening, Verdict
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.review.queries import packed
from wardround.node.review.state import ReviewState
from wardround.node.review.tables import PixelReview

log = logging.getLogger(__name__)

REFUSED_BY_A_PERSON = "refused-in-review"


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


def passage(screening: Screening, facts: PixelFacts) -> Wait | Refuse:
    """What becomes of an object that didn't pass the screening."""
    if screening.verdict is Verdict.REFUSED:
        return Refuse(screening.reasons[0])
    return Wait(screening.reasons, screening, facts)


class Gate:
    """Puts objects before people, and says at its start if nothing here can read text.

    Args:
        screener: how pixels are screened at this node.
    """

    def __init__(self, screener: Screener) -> None:
        if not screener.ready():
            log.warning(
                "tesseract isn't installed: every image that isn't clear by its header waits for a person; install "
                "tesseract-ocr to have fewer wait"
            )

    def hold(self, session: Session, waits: Mapping[int, Wait], moment: datetime) -> None:
        """Put instances before a person, by the ids of their rows, in the caller's transaction: their state is
        `review`, and they stay in quarantine. What a person refused before is refused, not asked about again."""
        for number, wait in waits.items():
            instance = session.get_one(ReceivedInstance, number)
            row = session.scalar(select(PixelReview).where(PixelReview.digest == instance.digest))
            if row is not None and row.state == ReviewState.REFUSED:
                row.instance_id = number
                _set(session, number, State.REFUSED, REFUSED_BY_A_PERSON, moment)
                continue
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
            _set(session, number, State.REVIEW, screening.reasons[0], moment)


def _set(session: Session, number: int, state: State, reason: str, moment: datetime) -> None:
    check_step(State.RECEIVED, state)
    session.execute(
        update(ReceivedInstance)
        .where(ReceivedInstance.id == number)
        .values(state=state.value, reason=reason, changed_at=moment)
        .execution_options(synchronize_session=False)
    )
