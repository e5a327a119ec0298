"""What the hub knows of the patients' privacy that a project has paid with: rounds, never an epsilon.

Each hospital reckons its own epsilon and declines the round that would go over; it tells the hub none of it. What the
hub has is in how many rounds a hospital's update arrived, each of which was paid for, and who declined one as used up.
A round whose update never arrived may have been paid for too, so that a hospital has paid for that many at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import distinct, func, select
from sqlalchemy.orm import Session

from wardround.hub.runs.reasons import DECLINED
from wardround.hub.runs.tables import RoundSiteRow, RunRow

USED_UP = f"{DECLINED}privacy-budget-used-up"


@dataclass(frozen=True, slots=True)
class Paid:
    """One hospital's `rounds`, at least, of so many `runs`; `used_up`: it declined a round since nothing was left."""

    site: str
    rounds: int
    runs: int
    used_up: bool


def paid_by(session: Session, project: str) -> Sequence[Paid]:
    """By each hospital that took part in a round of the project, or declined one, in the order of their names."""
    taken, row = RoundSiteRow.state == "taken", RoundSiteRow
    query = (
        select(
            row.site,
            func.count().filter(taken),
            func.count(distinct(row.run)).filter(taken),
            func.count().filter(row.reason == USED_UP),
        )
        .join(RunRow, RunRow.id == row.run)
        .where(RunRow.project == project)
        .group_by(row.site)
        .order_by(row.site)
    )
    found = [Paid(site, rounds, runs, used_up > 0) for site, rounds, runs, used_up in session.execute(query)]
    return [one for one in found if one.rounds or one.used_up]
