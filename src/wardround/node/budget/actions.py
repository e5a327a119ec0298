"""Spend a project's budget of what it may tell of any one patient, before anything is done for it.

The budget is the project's, not a run's or an edition's: the patients are the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.learning.accounting import Spending
from wardround.node import audit
from wardround.node.budget.queries import charges
from wardround.node.budget.tables import Charge

EpsilonOf = Callable[[Sequence[Spending], float], float]
"""As `wardround.learning.accounting.epsilon_of`, which takes the learning process."""


def charge(
    database: Database,
    project: str,
    lesson: str,
    budget: PatientPrivacy,
    *,
    steps: int,
    run: str,
    round_number: int,
    epsilon_of: EpsilonOf,
    at: datetime,
) -> None:
    """Pay for a lesson of so many steps; one that is paid for already costs nothing again.

    Once this returns it is on the disk: a node that is killed in the middle of the lesson has spent it.

    Raises:
        NotAllowed: `privacy-budget-used-up`, with it the project would tell more than its budget.
    """
    asked = Spending(budget.noise_multiplier, budget.sample_rate, steps)
    while True:
        with database.reading() as session:
            paid = charges(session, project)
        if any(row.lesson == lesson for row in paid):
            return
        before = [Spending(row.noise_multiplier, row.sample_rate, row.steps) for row in paid]
        epsilon = epsilon_of([*before, asked], budget.delta)
        if not epsilon <= budget.epsilon:
            raise NotAllowed(
                f"round {round_number} of {run} would bring {project} to an epsilon of {epsilon:.3g} at delta "
                f"{budget.delta:g}; {budget.epsilon:g} were approved",
                code="privacy-budget-used-up",
            )
        with database.writing() as session:
            counted = session.scalar(select(func.count()).select_from(Charge).where(Charge.project == project))
            if counted != len(paid):
                continue  # another run of the project paid meanwhile
            session.add(
                Charge(
                    project=project,
                    lesson=lesson,
                    run=run,
                    round=round_number,
                    noise_multiplier=asked.noise_multiplier,
                    sample_rate=asked.sample_rate,
                    steps=steps,
                    epsilon=epsilon,
                    delta=budget.delta,
                    charged_at=at,
                )
            )
            told = f"{project} round {round_number}: epsilon {epsilon:.3g} of {budget.epsilon:g}"
            audit.record(session, "program", "spend-privacy", run, told)
        return


def settle(session: Session, lesson: str, update: str) -> None:
    """Note which update a lesson gave. A charge pays for one: two that differ, with the same noise on both, would tell
    by their difference what the noise hides.

    Raises:
        NotAllowed: `update-differs`, the lesson was done again and gave another.
    """
    paid = session.scalars(select(Charge).where(Charge.lesson == lesson)).one()
    if paid.update is None:
        paid.update = update
    elif paid.update != update:
        raise NotAllowed("the same lesson gave another update than before; it stays here", code="update-differs")
