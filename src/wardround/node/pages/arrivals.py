"""What arrived in each of the last hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.node.receive.register import NO_PATH
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance

HOURS = 24


@dataclass(frozen=True, slots=True)
class Hour:
    """Instances that came in the hour from `begins` on: by path those taken, and those refused or let go by a rule."""

    begins: datetime
    research: int
    clinic: int
    refused: int


def by_hour(session: Session, at: datetime) -> list[Hour]:
    """The last `HOURS`, the present one last. One look at the rows of that time, whatever the database."""
    row = ReceivedInstance
    first = at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    begins = [first + timedelta(hours=each) for each in range(HOURS)]
    refused = row.state == State.REFUSED.value
    columns = []
    for begin in begins:
        then = (row.received_at >= begin) & (row.received_at < begin + timedelta(hours=1))
        columns += [
            func.count().filter(then & ~refused & (row.path == "research")),
            func.count().filter(then & ~refused & (row.path == "clinic")),
            func.count().filter(then & (refused | (row.path == NO_PATH))),
        ]
    counts = session.execute(select(*columns).where(row.received_at >= first)).one()
    return [Hour(begin, *counts[3 * place : 3 * place + 3]) for place, begin in enumerate(begins)]
