"""An approval that was taken back or ran out stops all use at the next step, is on the record, and can't come back."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import pytest
from tests.unit.hub.runs.run_lab import NOON, project, weights
from tests.unit.node.projects.node_lab import SITE, NodeLab, task

from wardround.contracts.ledger_entry import Approval, Update, Withdrawal
from wardround.contracts.outbound import Message, ProjectDecision
from wardround.contracts.task import EvaluateModel, TrainAlone, WithdrawProject
from wardround.federation.engine import Declined
from wardround.foundation.errors import NotAllowed
from wardround.hub.projects import queries as hub_projects
from wardround.hub.projects.withdrawal import withdraw as end_for_all
from wardround.hub.runs.states import RunState
from wardround.node.audit import Audit
from wardround.node.gateway.errors import HubUnreachable
from wardround.node.projects import queries
from wardround.node.projects.questions import Questions
from wardround.node.training.learner import Lesson

ASKED = project(quorum=1)
DIGEST = ASKED.content_digest()
ABOUT: dict[str, Any] = {"project": "glioma", "project_digest": DIGEST, "run": "glioma-1"}


@pytest.fixture
def agreed(lab: NodeLab) -> NodeLab:
    lab.fill()
    lab.agree(ASKED)
    return lab


def answers(lab: NodeLab) -> list[tuple[str, str, str | None]]:
    with lab.hub.database.reading() as session:
        return [(one.site, one.answer, one.reason) for one in hub_projects.decisions(session, "glioma")]


def refused_work(lab: NodeLab) -> set[str]:
    """The codes with which each kind of work is refused; nothing was read for it and nothing left."""
    called, sent = len(lab.worker.calls), len(lab.wire.sent)
    work = lab.comparison
    codes = set()
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED, round_number=2))
    codes.add(declined.value.reason)
    for do in (
        lambda: work.train_alone(TrainAlone(**ABOUT, rounds=1)),
        lambda: work.evaluate(EvaluateModel(**ABOUT, model="a" * 64, label="federated")),
        lambda: lab.assignments.begin("glioma", DIGEST, "glioma-1"),
    ):
        with pytest.raises(NotAllowed) as refused:
            do()
        codes.add(refused.value.code)
    assert (len(lab.worker.calls), len(lab.wire.sent)) == (called, sent)
    return codes


def test_a_withdrawal_stops_all_work_at_once_and_is_on_the_record(agreed: NodeLab) -> None:
    lab = agreed
    lab.participant.take_part(task(ASKED))
    lab.withdraw("glioma")
    assert lab.state("glioma") == "withdrawn"
    assert refused_work(lab) == {"withdrawn"}
    lab.telling.tick()
    said = lab.ledger()[-1]
    assert isinstance(said, Withdrawal)
    assert (said.project, said.approval, said.reason) == ("glioma", lab.decision("glioma").entry_index, "board-decided")
    assert answers(lab) == [(SITE, "withdrawn", "board-decided")]
    assert lab.telling.tick() == 0
    assert refused_work(lab) == {"withdrawn"}
    with lab.database.reading() as session:
        [row] = session.query(Audit).filter(Audit.verb == "withdraw-project")
    assert (row.actor, row.subject, row.detail) == ("person:controller", "glioma", "board-decided")


def test_what_was_withdrawn_doesnt_come_back(agreed: NodeLab) -> None:
    """Neither by a person's second thought nor by a hub that submits the same edition again."""
    lab = agreed
    lab.withdraw("glioma")
    lab.consider(ASKED)
    for again in (lab.approve, lab.withdraw):
        with pytest.raises(NotAllowed, match="is withdrawn here"):
            again("glioma")
    assert refused_work(lab) == {"withdrawn"}


def test_what_was_never_approved_cant_be_withdrawn(lab: NodeLab) -> None:
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    with pytest.raises(NotAllowed, match="nothing was approved of glioma here"):
        lab.withdraw("glioma")
    lab.refuse("glioma", "not-here")
    with pytest.raises(NotAllowed, match="nothing was approved of glioma here"):
        lab.withdraw("glioma")


def test_an_approval_that_is_withdrawn_before_the_hub_heard_of_it_is_told_with_its_withdrawal(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    lab.withdraw("glioma")
    lab.telling.tick()
    assert [type(entry) for entry in lab.ledger()] == [Approval, Withdrawal], "no cohort is told that nobody may use"
    assert answers(lab) == [(SITE, "withdrawn", "board-decided")]


def test_a_withdrawal_in_the_midst_of_telling_is_told_next(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    pending = ["board-decided"]

    def meanwhile(message: Message) -> None:
        if isinstance(message, ProjectDecision) and pending:
            lab.withdraw("glioma", pending.pop())

    lab.wire.cut = meanwhile
    lab.telling.tick()
    assert answers(lab) == [(SITE, "approved", None)]
    assert lab.telling.tick() == 1
    assert answers(lab) == [(SITE, "withdrawn", "board-decided")]


@pytest.mark.parametrize("number", [1, 2])
def test_a_withdrawal_while_an_entry_is_on_its_way_is_told_in_place_of_the_approval(lab: NodeLab, number: int) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    seen = list[Message]()

    def meanwhile(message: Message) -> None:
        seen.append(message)
        if len(seen) == number:
            lab.withdraw("glioma")

    lab.wire.cut = meanwhile
    lab.telling.tick()
    lab.telling.tick()
    assert answers(lab) == [(SITE, "withdrawn", "board-decided")]
    assert [message.answer for message in lab.wire.sent if isinstance(message, ProjectDecision)] == ["withdrawn"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_withdrawal_is_told_once_wherever_the_connection_broke(agreed: NodeLab, when: str, number: int) -> None:
    lab, seen = agreed, list[Message]()
    lab.withdraw("glioma")

    def cut(message: Message) -> str | None:
        seen.append(message)
        return when if len(seen) == number + 1 else None

    lab.wire.cut = cut
    with pytest.raises(HubUnreachable):
        lab.telling.tick()
    lab.telling.tick()
    assert [type(entry) for entry in lab.ledger()].count(Withdrawal) == 1
    assert answers(lab) == [(SITE, "withdrawn", "board-decided")]


def test_a_withdrawal_stays_on_the_record_when_another_edition_comes_first(agreed: NodeLab) -> None:
    lab = agreed
    approved = lab.decision("glioma")
    lab.withdraw("glioma")
    lab.consider(project(quorum=1, rounds=9))
    lab.telling.tick()
    said = lab.ledger()[-1]
    assert isinstance(said, Withdrawal) and said.approval == approved.entry_index
    assert lab.state("glioma") == "waiting"


def test_an_update_that_was_being_made_doesnt_leave_after_a_withdrawal(agreed: NodeLab) -> None:
    lab, real = agreed, agreed.worker.call

    def call(*arguments: Any) -> Any:
        lesson = real(*arguments)
        lab.withdraw("glioma")
        return lesson

    lab.worker.call = call  # type: ignore[method-assign] # a person decides while the process learns
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED))
    assert declined.value.reason == "withdrawn"
    assert lab.wire.recorded == []
    assert not any(isinstance(entry, Update) for entry in lab.ledger())


def test_a_run_under_way_goes_on_without_a_hospital_that_withdrew(agreed: NodeLab) -> None:
    """A leg of the engine, with this hospital's own participant: round 1 is whole, and then the board decides."""
    lab, real, rounds = agreed, agreed.worker.call, list[int]()
    update = weights(1.0)
    from hashlib import sha256

    lab.worker.lesson = Lesson(update, sha256(update).hexdigest(), 30, 0.5, "dice", 0.25, 13, 4)

    def call(function: Any, assignment: Any, arrays: bytes, number: int, *rest: Any) -> Any:
        rounds.append(number)
        lesson = real(function, assignment, arrays, number, *rest)
        return lesson

    def record(message: Message, size: int, *, answer_bytes: int | None = None) -> None:
        lab.wire.recorded.append(message)
        lab.withdraw("glioma")  # once the first update is on its way

    lab.worker.call = call  # type: ignore[method-assign]
    lab.wire.record = record  # type: ignore[method-assign]
    lab.hub.connected[SITE] = cast(Any, lab.participant)
    run = lab.hub.start()
    lab.hub.driver.tick()
    leg = lab.hub.leg(run)
    assert leg is not None
    lab.hub.engine.wait(leg, 30)
    assert rounds == [1]
    lab.telling.tick()
    assert lab.hub.drive(run, RunState.FAILED, RunState.FINISHED) is RunState.FAILED
    assert "fewer sites approve" in lab.hub.row(run).reason
    assert [entry.round for entry in lab.ledger() if isinstance(entry, Update)] == [1]
    assert rounds == [1]


def test_the_last_day_is_the_last_day(lab: NodeLab) -> None:
    lab.fill()
    last = (lab.clock() + timedelta(days=3)).date()
    lab.agree(ASKED, until=last)
    said = lab.ledger()[0]
    assert isinstance(said, Approval) and said.until is not None and said.until.date() == last
    lab.clock.time += timedelta(days=3)
    assert lab.clock().date() == last
    lab.participant.take_part(task(ASKED))
    lab.clock.time += timedelta(days=1)
    lab.catch_up()
    assert refused_work(lab) == {"expired"}
    assert lab.state("glioma") == "expired"
    with pytest.raises(NotAllowed, match=f"glioma ended with {last:%Y-%m-%d}; .+ submits with a later last day"):
        lab.assignments.check("glioma", ASKED.content_digest(), "glioma-1")
    with pytest.raises(NotAllowed, match="is expired here"):
        lab.approve("glioma")


def test_an_approval_isnt_given_for_a_day_that_is_past(lab: NodeLab) -> None:
    lab.fill()
    lab.consider(ASKED)
    with pytest.raises(NotAllowed, match="would be over already"):
        lab.approve("glioma", until=date(2020, 1, 1))


def test_the_researcher_ends_it_for_all_and_the_hospital_says_so_on_the_ledger(agreed: NodeLab) -> None:
    lab = agreed
    lab.participant.take_part(task(ASKED))
    with lab.hub.database.writing() as session:
        assert end_for_all(session, "glioma", "wrong-cohort", actor="person:researcher", at=NOON) == [SITE]
    [(_, _, asked)] = lab.hub.tasks("withdraw-project")
    assert isinstance(asked, WithdrawProject)
    questions = Questions(lab.database, lab.entries, lab.clock)
    for _ in range(2):
        questions.withdraw(asked)
    assert refused_work(lab) == {"withdrawn"}
    lab.telling.tick()
    said = lab.ledger()[-1]
    assert isinstance(said, Withdrawal) and said.reason == "withdrawn-by-the-hub"
    lab.consider(ASKED)
    assert lab.state("glioma") == "withdrawn"


def test_a_project_that_was_ended_before_anybody_decided_cant_be_approved(lab: NodeLab) -> None:
    lab.fill()
    lab.consider(ASKED)
    Questions(lab.database, lab.entries, lab.clock).withdraw(WithdrawProject(project="glioma"))
    assert lab.state("glioma") == "withdrawn"
    with pytest.raises(NotAllowed, match="is withdrawn here"):
        lab.approve("glioma")
    with lab.database.reading() as session:
        assert queries.decision_of(session, queries.row_of(session, "glioma")) is None
    assert lab.telling.tick() == 0


def test_the_hub_cant_end_what_isnt_here(lab: NodeLab) -> None:
    Questions(lab.database, lab.entries, lab.clock).withdraw(WithdrawProject(project="unknown"))
    with lab.database.reading() as session:
        assert queries.projects(session) == []
