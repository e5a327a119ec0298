"""How much of a study the front door has taken in, whatever became of it since."""

from __future__ import annotations

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy


def arrived(session: Session, path: str, study_key: str) -> int:
    """The distinct instances of a study that came for `path`: taken in, or discarded by a rule of the hospital's.

    What was refused at the door isn't among them, nor what was purged since.
    """
    return (
        session.scalar(
            select(func.count(ReceivedInstance.instance_key.distinct()))
            .join(ReceivedStudy, ReceivedInstance.study_id == ReceivedStudy.id)
            .where(
                ReceivedStudy.study_key == study_key,
                or_(
                    (ReceivedInstance.path == path) & (ReceivedInstance.state != State.PURGED.value),
                    ReceivedInstance.state == State.DISCARDED.value,
                ),
            )
        )
        or 0
    )


def state_count(session: Session, path: str, study_key: str, expected: int) -> None:
    """Tell the front door how many instances the PACS states, so that the study counts as complete with them."""
    session.execute(
        update(ReceivedStudy)
        .where(ReceivedStudy.path == path, ReceivedStudy.study_key == study_key)
        .values(stated=expected)
        .execution_options(synchronize_session=False)
    )
