"""What evidence of use is made of the worklist and of what people answered on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.unit.node.evidence.test_stage_ladder import MODEL, PACKAGE, Ladder
from tests.unit.node.projects.node_lab import beside_a_hub

from wardround.contracts.evidence import RECORD, EvidenceRecord, ShadowUse
from wardround.contracts.use_evidence import DelayOfUnflagged, OrderEffect, SecondReads
from wardround.contracts.validation import JudgedCase, LocalValidation
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.node.clinic.answers import Corrected, judge, open_study, report
from wardround.node.clinic.states import AnswerVerb, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.evidence.making import make
from wardround.node.evidence.second_reads import adjudicated_in, reader_study_of
from wardround.node.evidence.shelf import keep_and_tell
from wardround.node.evidence.words import told

READER = "person:radiologist"


class Ward(Ladder):
    """A hospital whose worklist a test fills, minute by minute."""

    def come(
        self, *, minute: float, flagged: bool = False, state: str = "kept", value: float = 1.0, due: float = 0
    ) -> int:
        with self.database.writing() as session:
            row = self.row(session)
            arrived = row.deployed_at + timedelta(minutes=minute)
            read = state not in ("failed", "out-of-scope")
            number = len(session.scalars(select(WorklistLine)).all())
            line = WorklistLine(
                study=f"{number:032x}",
                version=1,
                deployment=row.id,
                state=state,
                reason="" if read else "no-mr-series",
                arrived_at=arrived,
                read_at=arrived + timedelta(seconds=4) if read else None,
                flagged=flagged,
                value=value if read else None,
                read_as=row.stage if read else "",
                due_at=arrived + timedelta(minutes=due) if due else None,
            )
            session.add(line)
            session.flush()
            return line.id

    def act(self, act: Any, line: int, *, minute: float, **how: Any) -> None:
        with self.database.writing() as session:
            row = self.row(session)
            at = row.deployed_at + timedelta(minutes=minute)
            act(session, session.get_one(WorklistLine, line), row, actor=READER, at=at, **how)

    def make(self, *, adjudicated: dict[str, bool] | None = None) -> tuple[EvidenceRecord, ...]:
        with self.database.writing() as session:
            row = self.row(session)
            at = row.deployed_at + timedelta(days=2)
            return make(session, row, MODEL, self.entries, adjudicated=adjudicated, actor="person:ada", at=at)

    def at(self, stage: str) -> None:
        with self.database.writing() as session:
            self.row(session).stage = stage


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with beside_a_hub(tmp_path, Ward) as found:
        found.use()
        yield found


def test_shadow_use_tells_agreement_drift_failures_and_that_nobody_saw_a_result(ward: Ward) -> None:
    cases = {f"P{n}": JudgedCase(score=float(n), positive=n > 5, dice=0.9) for n in range(20)}
    record = LocalValidation(
        plan="c" * 64,
        model=PACKAGE,
        pathway="glioma",
        scores="millilitres",
        threshold=0.5,
        least={},
        fewest=1,
        cases=cases,
        unusable={},
    )
    with ward.database.writing() as session:
        keep_and_tell(session, record, "offline", ward.entries, at=ward.clock(), actor="person:ada")
    for number, (flagged, found) in enumerate([(True, True), (True, False), (False, True), (False, False)] * 3):
        line = ward.come(minute=number, flagged=flagged, value=100.0 + number)
        ward.act(open_study, line, minute=number + 20)
        ward.act(report, line, minute=number + 21, found=found)
    ward.come(minute=30, state=ReadingState.OUT_OF_SCOPE)
    ward.come(minute=31, state=ReadingState.FAILED)
    [made] = ward.make(adjudicated={f"{0:032x}": True, f"{1:032x}": True})
    assert isinstance(made, ShadowUse)
    assert (made.studies, made.read, made.flagged, made.out_of_scope, made.seen) == (14, 12, 6, 2, 0)
    assert made.agreement == (3, 3, 3, 3) and made.adjudicated == (2, 0, 0, 0)
    assert made.drift is not None and made.drift[0] == 1.0 and made.drift[2] > 0.25
    assert (made.seconds_p50, made.seconds_p95) == (4.0, 4.0)
    # Somebody has one before them that they shouldn't: it is told.
    with ward.database.writing() as session:
        session.add(WorklistAnswer(line=1, verb=AnswerVerb.AGREED, actor=READER, shown=True, at=ward.clock()))
    [again] = ward.make()
    assert isinstance(again, ShadowUse) and again.seen == 1
    assert "SEEN" in " ".join(told(again))


def test_order_is_held_against_the_same_readers_by_arrival(ward: Ward) -> None:
    ward.at("prioritisation")
    first = ward.come(minute=0, due=45)
    second = ward.come(minute=10)
    third = ward.come(minute=20, flagged=True)
    for line, minute in ((third, 30), (first, 50), (second, 60)):
        ward.act(open_study, line, minute=minute)
    ward.act(judge, third, minute=35, verb=AnswerVerb.AGREED)
    ward.act(judge, first, minute=56, verb=AnswerVerb.REJECTED, reason="missed-it")
    effect, delay = ward.make()
    assert isinstance(effect, OrderEffect) and isinstance(delay, DelayOfUnflagged)
    [flagged] = effect.flagged
    # It came third and was opened first, at 30; by arrival it would have been opened at 60.
    assert (flagged.open, flagged.open_by_arrival, flagged.finding) == (600, 2400, True)
    assert (flagged.report, flagged.report_by_arrival) == (900, 2700)
    assert [(wait.open, wait.open_by_arrival) for wait in delay.unflagged] == [(3000, 1800), (3000, 2400)]
    # The first waited past its deadline, and wouldn't have; a person found something in it all the same.
    assert [(wait.late, wait.late_by_arrival, wait.finding) for wait in delay.unflagged] == [
        (True, False, True),
        (False, False, None),
    ]
    assert effect.prevalence == (2, 2) and effect.studies == 3


def test_second_reads_keep_the_first_and_the_final_one_and_why(ward: Ward) -> None:
    ward.at("second-reader")
    ways = [
        (True, False, AnswerVerb.AGREED, ""),
        (True, False, AnswerVerb.REJECTED, "artefact"),
        (False, True, AnswerVerb.AGREED, ""),
    ]
    for number, (flagged, found, verb, reason) in enumerate(ways):
        line = ward.come(minute=number, flagged=flagged)
        ward.act(open_study, line, minute=10)
        ward.act(report, line, minute=11, found=found)
        ward.act(judge, line, minute=12, verb=verb, reason=reason)
    [made] = ward.make(adjudicated={f"{0:032x}": True, f"{2:032x}": True})
    assert isinstance(made, SecondReads)
    assert [(read.first, read.model, read.final, read.truth, read.reason) for read in made.reads] == [
        (False, True, True, True, None),
        (False, True, False, None, "artefact"),
        (True, False, False, True, None),
    ]
    assert "1 changed for the better and 1 for the worse" in " ".join(told(made))
    assert b"overlap" not in made.canonical(), "the record is what it was where nobody drew"


def test_second_reads_say_how_far_outlines_were_from_what_was_drawn_instead(ward: Ward) -> None:
    ward.at("second-reader")
    for number, overlap in enumerate((0.9, 0.5, None)):
        line = ward.come(minute=number, flagged=True)
        ward.act(open_study, line, minute=10)
        ward.act(report, line, minute=11, found=True)
        drawn = None if overlap is None else Corrected("correction.dcm", overlap)
        ward.act(judge, line, minute=12, verb=AnswerVerb.CORRECTED, reason="too-small", corrected=drawn)
    [made] = ward.make()
    assert isinstance(made, SecondReads)
    assert [read.overlap for read in made.reads] == [0.9, 0.5, None]
    assert RECORD.validate_json(made.canonical()) == made
    assert "2 outlines corrected by drawing; Dice between the model's and the corrected one 0.70 (median), 0.50" in (
        " ".join(told(made))
    )


def test_a_stage_gives_its_own_evidence_and_no_other(ward: Ward) -> None:
    ward.at("primary-reader")
    with pytest.raises(NotAllowed) as raised:
        ward.make()
    assert raised.value.code == "wrong-stage"
    ward.at("shadow")
    with pytest.raises(NotAllowed) as raised:
        ward.make(adjudicated={"f" * 32: True})
    assert raised.value.code == "unknown-study"
    with ward.database.reading() as session:
        assert session.scalars(select(Deployment)).one().stage == "shadow"


HEAD = "reader,case,aided,rating,finding\n"


def _study() -> str:
    return HEAD + "".join(
        f"{reader},c{case},{aided},{case + aided},{case % 2}\n"
        for reader in "ab"
        for case in range(4)
        for aided in (0, 1)
    )


def test_a_reader_study_is_read_and_names_nobody(tmp_path: Path) -> None:
    file = tmp_path / "study.csv"
    file.write_text(_study())
    found = reader_study_of(file, PACKAGE, "brain", margin=0.05)
    assert found.positive == (False, True, False, True)
    assert found.alone == ((0, 1, 2, 3),) * 2 and found.aided == ((1, 2, 3, 4),) * 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reader,case\na,b\n", "columns"),
        (_study().replace("b,c3,1,4,1\n", ""), "1 ratings are missing"),
        (_study() + "a,c0,0,1,0\n", "line 18: this reader has rated"),
        (_study().replace("a,c1,1,2,1", "a,c1,1,2,0"), "another row says otherwise"),
        (_study().replace("a,c1,1,2,1", "a,c1,1,high,1"), "is no number"),
        (_study().replace("a,c1,1,2,1", "a,c1,maybe,2,1"), "has to be 1 or 0"),
        (_study().replace("a,c1,1,2,1", "a,c1,1,2"), "values"),
        (HEAD + "a,c0,0,1,0\na,c0,1,1,0\n", "two readers"),
    ],
)
def test_a_reader_study_that_is_not_whole_says_where(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "study.csv"
    file.write_text(text)
    with pytest.raises(WardroundError, match=says):
        reader_study_of(file, PACKAGE, "brain", margin=0.05)


def test_adjudicated_studies_are_read_once_each(tmp_path: Path) -> None:
    file = tmp_path / "truth.csv"
    file.write_text("study,finding\nabc,1\ndef,no\n")
    assert adjudicated_in(file) == {"abc": True, "def": False}
    file.write_text("study,finding\nabc,1\nabc,1\n")
    with pytest.raises(WardroundError, match="twice"):
        adjudicated_in(file)
    with pytest.raises(WardroundError, match="can't be read"):
        adjudicated_in(tmp_path / "gone.csv")
