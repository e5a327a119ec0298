"""What a project spent of its patients' privacy budget here."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.node.budget.tables import Charge


def charges(session: Session, project: str) -> list[Charge]:
    """All that was paid for the project, in the order in which it was."""
    return list(session.scalars(select(Charge).where(Charge.project == project).order_by(Charge.id)))


def in_words(session: Session, project: str, budget: PatientPrivacy) -> str:
    """How much of the budget is spent."""
    paid = charges(session, project)
    if not paid:
        return f"epsilon 0 of {budget.epsilon:g} spent, at delta {budget.delta:g}"
    last = paid[-1]
    runs = len({row.run for row in paid})
    return (
        f"epsilon {last.epsilon:.3g} of {budget.epsilon:g} spent, at delta {last.delta:g}: {len(paid)} rounds of "
        f"{runs} run{'' if runs == 1 else 's'}"
    )
