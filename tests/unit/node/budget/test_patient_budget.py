"""What a project may tell of a patient here is spent before training, kept across runs, and never taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import select
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.conftest import lab as lab
from tests.unit.node.projects.node_lab import NodeLab, task

from wardround.compute.worker import WorkerDied
from wardround.contracts.outbound import RunUpdate
from wardround.federation.engine import Declined, RoundTask
from wardround.learning.accounting import Spending, epsilon_of
from wardround.node.audit import Audit
from wardround.node.budget.queries import in_words
from wardround.node.budget.tables import Charge
from wardround.node.training import learner
from wardround.node.training.patients import PatientBudget

PRIVACY = {"epsilon": 7.0, "delta": 1e-5, "noise_multiplier": 1.0, "sample_rate": 0.1}
ASKED = project(compare_alone=False, rounds=30, local_steps=20, patient_privacy=PRIVACY)


@pytest.fixture
def agreed(lab: NodeLab, monkeypatch: pytest.MonkeyPatch) -> NodeLab:
    """A hospital that agreed, whose learning process reckons for itself and learns nothing in truth."""
    toy = lab.worker.call

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments) if function is epsilon_of else toy(function, *arguments)

    monkeypatch.setattr(lab.worker, "call", call)
    lab.fill()
    lab.agree(ASKED)
    return lab


def ask(lab: NodeLab, round_number: int, weights: bytes = b"weights", run: str = "glioma-1") -> str:
    """What becomes of a round: a word why not, or nothing."""
    told = task(ASKED, round_number=round_number)
    asked = RoundTask(run, f"{run}.1", told.round, told.total_rounds, told.plan, weights, "delta")
    try:
        lab.participant.take_part(asked)
    except Declined as declined:
        return declined.reason
    return ""


def charges(lab: NodeLab) -> list[Charge]:
    with lab.database.reading() as session:
        return list(session.scalars(select(Charge).order_by(Charge.id)))


def test_each_round_is_paid_for_and_one_that_would_go_over_is_declined_before_any_training(agreed: NodeLab) -> None:
    over = next(number for number in range(1, 31) if ask(agreed, number))
    lessons = len(agreed.worker.calls)
    assert ask(agreed, over) == "privacy-budget-used-up"
    assert len(agreed.worker.calls) == lessons == over - 1 > 1
    paid = charges(agreed)
    assert paid[-1].epsilon == pytest.approx(epsilon_of([Spending(1.0, 0.1, 20 * len(paid))], 1e-5), rel=1e-6)
    assert paid[-1].epsilon <= 7.0 < epsilon_of([Spending(1.0, 0.1, 20 * (len(paid) + 1))], 1e-5)


def test_a_killed_node_has_spent_what_it_began(agreed: NodeLab) -> None:
    agreed.worker.raises = WorkerDied("killed")
    assert ask(agreed, 1) == "learning-process-died"
    assert [(row.round, row.update) for row in charges(agreed)] == [(1, None)]
    with agreed.database.reading() as session:
        told = session.scalars(select(Audit.detail).where(Audit.verb == "spend-privacy")).all()
    assert len(told) == 1 and told[0].startswith("glioma round 1: epsilon ")


def test_the_same_lesson_done_again_is_paid_for_once_and_gives_one_update(agreed: NodeLab) -> None:
    agreed.worker.raises = WorkerDied("killed")
    ask(agreed, 1)
    agreed.worker.raises = None
    assert ask(agreed, 1) == ""
    assert ask(agreed, 1) == ""
    assert len(charges(agreed)) == 1
    agreed.worker.lesson = learner.Lesson(b"other", "b" * 64, 30, 0.5, "dice", 0.25, 13, 4)
    assert ask(agreed, 1) == "update-differs"
    assert len([message for message in agreed.wire.recorded if isinstance(message, RunUpdate)]) == 2


def test_the_next_run_begins_where_the_last_one_left_the_budget(agreed: NodeLab) -> None:
    assert ask(agreed, 1) == ""
    assert ask(agreed, 2) == ""
    assignment = agreed.assignments.check("glioma", ASKED.content_digest(), "glioma-1")
    after_a_restart = PatientBudget(agreed.database, cast(Any, agreed.worker), agreed.clock)
    after_a_restart.pay(assignment, "glioma", "glioma-2", 1, b"weights", b"")
    told = [row.epsilon for row in charges(agreed)]
    assert told == sorted(set(told)) and len(told) == 3
    assert told[-1] == pytest.approx(epsilon_of([Spending(1.0, 0.1, 60)], 1e-5), rel=1e-6)
    with agreed.database.reading() as session:
        assert ASKED.plan.patient_privacy is not None
        words = in_words(session, "glioma", ASKED.plan.patient_privacy)
    assert words == f"epsilon {charges(agreed)[-1].epsilon:.3g} of 7 spent, at delta 1e-05: 3 rounds of 2 runs"


def test_how_good_a_round_is_doesnt_leave(agreed: NodeLab) -> None:
    assert ask(agreed, 1) == ""
    [told] = [message for message in agreed.wire.recorded if isinstance(message, RunUpdate)]
    assert told.metrics == {}


def test_a_project_that_asks_for_none_pays_nothing(lab: NodeLab) -> None:
    lab.fill()
    lab.agree(project())
    lab.participant.take_part(task(project()))
    assert charges(lab) == []
