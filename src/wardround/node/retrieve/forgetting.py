"""Finds and forgets what pulls asked for about one person."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.node.retrieve.asks import Ask
from wardround.node.retrieve.reasons import ERASED
from wardround.node.retrieve.sealing import SealBroken, Sealing
from wardround.node.retrieve.states import ENDS, StudyState, check_study
from wardround.node.retrieve.tables import PullItem, PullJob


@dataclass(frozen=True)
class About:
    """Whom asks are looked for. `repr` shows nothing.

    studies: the front door's keys of their studies. study_key: makes such a key of a Study Instance UID. named:
    whether a patient id, of whatever issuer, is theirs.
    """

    studies: Set[str] = field(repr=False)
    accessions: Set[str] = field(repr=False)
    study_key: Callable[[str], str] = field(repr=False)
    named: Callable[[str], bool] = field(repr=False)

    def has(self, ask: Ask) -> bool:
        return (
            (ask.study_uid is not None and self.study_key(ask.study_uid) in self.studies)
            or (ask.accession is not None and ask.accession in self.accessions)
            or (ask.patient_id is not None and self.named(ask.patient_id))
        )


def asks_about(session: Session, sealing: Sealing, about: About, *, path: str | None = None) -> list[int]:
    """The rows of asks that name a person, by any of what is known; an ask that can't be opened names nobody.

    Args:
        path: only asks for this path.
    """
    query = select(PullItem).where(PullItem.sealed != b"").order_by(PullItem.id)
    if path is not None:
        query = query.join(PullJob, PullJob.id == PullItem.job_id).where(PullJob.path == path)
    found = []
    for item in session.scalars(query.execution_options(yield_per=400)):
        try:
            named = about.has(sealing.open(item.sealed, item.job_id, item.line))
        except SealBroken:
            named = False
        if named or item.study_key in about.studies:
            found.append(item.id)
    return found


def forget(session: Session, items: Sequence[int], at: datetime) -> None:
    """Destroy what these rows asked for, in the caller's transaction; one that isn't at its end is cancelled."""
    for number in items:
        item = session.get(PullItem, number)
        if item is None:
            continue
        item.sealed, item.study_key = b"", None
        if item.state not in ENDS:
            check_study(StudyState(item.state), StudyState.CANCELLED)
            item.state, item.reason, item.changed_at = StudyState.CANCELLED.value, ERASED, at
