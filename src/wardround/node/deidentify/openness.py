"""Which studies of the enclave are still coming in.

Instances are de-identified as they arrive, so that a study is ready as soon as it is complete. Until then cohorts
don't see it: a count or a manifest of half a study would be another one a minute later, and a volume of it wrong. A
late instance opens its study again, for as long as the front door waits for more.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Select, delete, exists, insert, select
from sqlalchemy.orm import Session

from wardround.node.deidentify.tables import OpenStudy
from wardround.node.enclave import changes
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy


def unready() -> Select[str]:
    """The (new) Study Instance UIDs that cohorts leave out, for `column.not_in(unready())`."""
    return select(OpenStudy.study_uid)


def keep_open(session: Session, studies: Mapping[str, int]) -> None:
    """Open studies that got something: (new) Study Instance UID to the study's row at the front door."""
    known = set(session.scalars(select(OpenStudy.study_uid).where(OpenStudy.study_uid.in_(studies))))
    rows = [{"study_uid": uid, "received_study": study} for uid, study in studies.items() if uid not in known]
    if rows:
        session.execute(insert(OpenStudy), rows)


def close_finished(session: Session) -> int:
    """Close the studies that are complete and of which nothing is left to de-identify; returns how many."""
    to_do = exists().where(
        ReceivedInstance.study_id == OpenStudy.received_study, ReceivedInstance.state == State.RECEIVED.value
    )
    complete = exists().where(ReceivedStudy.id == OpenStudy.received_study, ReceivedStudy.completed_at.is_not(None))
    finished = delete(OpenStudy).where(complete, ~to_do).returning(OpenStudy.study_uid)
    closed = session.scalars(finished.execution_options(synchronize_session=False)).all()
    changes.note(session, closed)
    return len(closed)
