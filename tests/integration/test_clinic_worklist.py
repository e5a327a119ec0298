"""What people do with studies that a model read, and what the queue does with those that it should read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made, result
from tests.integration.clinic_child import die, live

from wardround.compute.worker import Worker, WorkerTooSlow
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node.audit import Audit
from wardround.node.clinic import reader
from wardround.node.clinic.answers import answers_of, judge, line_of, open_study, report
from wardround.node.clinic.definition import Definition
from wardround.node.clinic.order import Place, worklist
from wardround.node.clinic.states import AnswerVerb
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.report.tables import Output

READER = "person:radiologist"


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    for found in made(tmp_path, package, ToyReader()):
        found.register()
        found.deploy()
        yield found


def at_stage(clinic: Clinic, stage: str) -> None:
    """Set where the ladder would have brought it."""
    with clinic.node.database.writing() as session:
        session.scalars(select(Deployment)).one().stage = stage


def listed(clinic: Clinic) -> list[Place]:
    with clinic.node.database.reading() as session:
        return worklist(session, clinic.node.clock(), answered=False)


class Reader:
    """Somebody who reads the one study on the worklist."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    def open(self) -> bool:
        return self._do(open_study)

    def report(self, found: bool) -> bool:
        return self._do(report, found=found)

    def judge(self, verb: AnswerVerb, reason: str = "", *, label: bool = False) -> None:
        self._do(judge, verb=verb, reason=reason, label=label)

    def _do(self, act: Any, **how: Any) -> Any:
        node = self.clinic.node
        with node.database.writing() as session:
            line, deployment = line_of(session, self.clinic.lines()[0].study[:8])
            return act(session, line, deployment, actor=READER, at=node.clock(), **how)


def test_in_shadow_nobody_on_the_ward_sees_what_the_model_gave(clinic: Clinic) -> None:
    clinic.arrive()
    clinic.pacs.up()
    clinic.pathway.tick()
    [taken] = clinic.pacs.taken
    assert clinic.pacs.titles[taken.SOPInstanceUID] == "EXAMINERS"
    [place] = listed(clinic)
    assert clinic.lines()[0].finding and place.finding == "" and "shows nothing" in place.progress
    somebody = Reader(clinic)
    assert not somebody.open()
    for verb in (AnswerVerb.AGREED, AnswerVerb.CORRECTED, AnswerVerb.REJECTED):
        with pytest.raises(NotAllowed, match="no result of a model is shown"):
            somebody.judge(verb, "too-small")
    # What they find themselves is kept beside it, once, and doesn't open the result.
    assert somebody.report(True) is False
    with pytest.raises(NotAllowed, match="stays as it is"):
        somebody.report(False)
    assert listed(clinic) == []
    at_stage(clinic, "prioritisation")
    with clinic.node.database.reading() as session:
        assert [one.finding for one in worklist(session)] == [""], "a later stage shows nothing that was read in shadow"


def test_without_a_place_for_examiners_a_result_of_shadow_use_stays_at_the_node(clinic: Clinic) -> None:
    clinic.pathway._shelf._examiners = False  # type: ignore[attr-defined]  # as where no such title is set
    clinic.arrive()
    clinic.pacs.up()
    clinic.pathway.tick()
    assert clinic.states() == [("kept", "")] and clinic.pacs.taken == []
    assert (clinic.results / str(clinic.lines()[0].result)).is_file()


def test_a_person_opens_judges_and_every_word_is_kept_with_its_actor(clinic: Clinic) -> None:
    at_stage(clinic, "prioritisation")
    clinic.arrive()
    clinic.pacs.up()
    clinic.pathway.tick()
    assert [clinic.pacs.titles[one.SOPInstanceUID] for one in clinic.pacs.taken] == ["PACS"]
    somebody = Reader(clinic)
    with pytest.raises(NotAllowed, match="open it first"):
        somebody.judge(AnswerVerb.AGREED)
    assert somebody.open() and listed(clinic)[0].finding == "lesion marked, 4.2 ml"
    with pytest.raises(NotAllowed, match="no reading of one's own"):
        somebody.report(True)
    with pytest.raises(NotAllowed, match="say why"):
        somebody.judge(AnswerVerb.REJECTED)
    somebody.judge(AnswerVerb.AGREED, label=True)
    somebody.judge(AnswerVerb.REJECTED, "artefact", label=True)
    assert listed(clinic) == []
    with clinic.node.database.reading() as session:
        rows = session.scalars(select(WorklistAnswer).order_by(WorklistAnswer.id)).all()
        said = answers_of(session, [rows[0].line])[rows[0].line]
        audited = session.scalars(select(Audit.verb).where(Audit.actor == READER).order_by(Audit.id)).all()
    assert [(row.verb, row.shown, row.reason, row.label) for row in rows] == [
        ("open-study", True, "", False),
        ("agree-with-result", True, "", True),
        ("reject-result", True, "artefact", False),
    ]
    assert audited == [row.verb for row in rows]
    assert said.judgement is not None and said.judgement.verb == AnswerVerb.REJECTED and said.found is None


def test_a_second_reader_shows_and_sends_nothing_before_the_first_reading(clinic: Clinic) -> None:
    at_stage(clinic, "second-reader")
    clinic.arrive()
    clinic.pacs.up()
    clinic.pathway.tick()
    assert clinic.pacs.taken == [] and listed(clinic)[0].finding == ""
    somebody = Reader(clinic)
    assert not somebody.open()
    with pytest.raises(NotAllowed, match="no result of a model is shown"):
        somebody.judge(AnswerVerb.AGREED)
    assert somebody.report(False), "now the result is before them"
    clinic.pathway.tick()
    assert len(clinic.pacs.taken) == 1
    somebody.judge(AnswerVerb.CORRECTED, "missed-one")


def test_a_study_is_named_by_enough_digits_of_its_key(clinic: Clinic) -> None:
    clinic.arrive()
    clinic.pathway.tick()
    key = clinic.lines()[0].study
    with clinic.node.database.reading() as session:
        assert line_of(session, key[:6])[0].study == key
        for wrong in (key[:5], "zzzzzzzz", "%%%%%%%%", ""):
            with pytest.raises(NotFound):
                line_of(session, wrong)
        with pytest.raises(NotFound):
            line_of(session, key, "heart")


def test_what_fails_a_check_is_out_of_scope_counted_and_never_given_to_the_model(clinic: Clinic) -> None:
    def check(
        _package: Path, _model: str, _stage: str, _files: Any, _threads: int, definition: Definition, *_: Any
    ) -> Any:
        assert definition.input.slices == (10, 500), "the file as it is now"
        raise reader.OutOfScope("slices", "slices: 4, wanted 10 to 500")

    clinic.define(more="[input]\nslices = [10, 500]")
    clinic.worker.answer = check
    clinic.arrive()
    clinic.pathway.tick()
    assert clinic.states() == [("out-of-scope", "slices")]
    [place] = listed(clinic)
    assert place.finding == "slices: 4, wanted 10 to 500" and place.reason == "by arrival: out-of-scope (slices)"
    assert clinic.lines()[0].definition == clinic.deployments.definitions.of("brain").digest


def test_emergencies_are_read_first_and_one_that_comes_meanwhile_waits_for_one_reading(clinic: Clinic) -> None:
    order: list[str] = []

    def read(_package: Path, _model: str, _stage: str, files: list[Path], *_: Any) -> reader.Reading:
        order.append(files[0].parent.name)
        if len(order) == 1:
            clinic.arrive(2, StudyDescription="STAT head")
        return reader.Reading(result(), "1.2.3", 1.0)

    clinic.worker.answer = read
    clinic.arrive(0)
    clinic.arrive(1)
    clinic.pathway.tick()
    lines = {line.priority: line for line in clinic.lines()}
    assert len(order) == 3 and order[1] not in (order[0], order[2])
    assert [line.priority for line in sorted(clinic.lines(), key=lambda line: line.id)] == [
        "routine",
        "routine",
        "emergency",
    ]
    emergency = lines["emergency"]
    assert emergency.due_at is not None and emergency.due_at - emergency.arrived_at == timedelta(minutes=30)
    assert clinic.worker.reads[1][3][0].parent.name == order[1] == _folder(clinic, emergency)


def _folder(clinic: Clinic, line: WorklistLine) -> str:
    study = clinic.pathway._queue.study(line)  # type: ignore[attr-defined]  # which folder its files lie in
    assert study is not None
    return study.files[0].parent.name


def test_past_its_deadline_a_study_keeps_its_normal_order_unread(clinic: Clinic) -> None:
    clinic.worker.answer = lambda *_: (_ for _ in ()).throw(WorkerTooSlow("a test"))
    clinic.arrive()
    clinic.pathway.tick()
    assert clinic.states() == [("waiting", "")]
    clinic.node.clock.time += timedelta(minutes=241)
    clinic.pathway.tick()
    assert clinic.states() == [("failed", "deadline-passed")]
    assert len(clinic.worker.reads) == 1


def test_what_waited_for_a_model_that_another_one_replaced_waits_no_longer(clinic: Clinic) -> None:
    clinic.worker.answer = lambda *_: (_ for _ in ()).throw(WorkerTooSlow("a test"))
    clinic.arrive()
    clinic.pathway.tick()
    clinic.node.clock.time += timedelta(minutes=1)
    clinic.deploy()
    clinic.pathway.tick()
    assert clinic.states() == [("failed", "model-replaced")]


@pytest.mark.parametrize("broken", ["", "typo = 1"], ids=["no-file", "bad-file"])
def test_while_a_pathways_file_cant_be_used_nothing_is_read_on_it_and_what_came_is_read_after(
    clinic: Clinic, broken: str
) -> None:
    file = clinic.deployments.definitions.file("brain")
    good = file.read_text()
    file.write_text(broken) if broken else file.unlink()
    clinic.arrive()
    assert clinic.pathway.tick() == 0 and clinic.lines() == []
    file.write_text(good)
    clinic.pathway.tick()
    assert clinic.states() == [("read", "")]


def test_a_pathway_that_names_no_model_or_another_refuses_to_start_and_to_go_on(clinic: Clinic) -> None:
    clinic.define("other", model="")
    with pytest.raises(NotAllowed, match="refuses to start without one"):
        clinic.deployments.deploy(clinic.digest, "other", actor="person:officer")
    with pytest.raises(NotFound, match="there is no pathway heart here"):
        clinic.deployments.deploy(clinic.digest, "heart", actor="person:officer")
    clinic.define("other", more='[evidence]\nmetric = "auc"\npatients = 1')
    file = clinic.deployments.definitions.file("other")
    file.write_text(file.read_text().replace('"outline"', '"class"'))
    with pytest.raises(NotAllowed, match="gives outline"):
        clinic.deployments.deploy(clinic.digest, "other", actor="person:officer")
    clinic.define(model="f" * 12)
    clinic.arrive()
    assert clinic.pathway.tick() == 0 and clinic.worker.reads == []


@pytest.fixture
def mortal(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[tuple[Clinic, Worker]]:
    """A clinic whose reading process, a real one, is killed in the middle of its work on the first study to come."""
    worker = Worker("reading")
    deadly: list[str] = []
    whole = worker.call_within

    def call(seconds: float, _function: Any, *arguments: Any) -> Any:
        name = arguments[3][0].parent.name
        deadly[:] = deadly or [name]
        whole(seconds, die if name == deadly[0] else live)
        return reader.Reading(result(), "1.2.3", 1.0)

    worker.call_within = call  # type: ignore[method-assign]  # what is read doesn't matter here
    for found in made(tmp_path, package, worker):
        found.register()
        found.deploy()
        found.define(more="[runtime]\nattempts = 2")
        yield found, worker
    worker.stop()


def test_a_reading_process_killed_at_work_costs_its_study_its_result_and_nothing_else(
    mortal: tuple[Clinic, Worker],
) -> None:
    clinic, _ = mortal
    for number in range(3):
        clinic.arrive(number)
    clinic.pathway.tick()
    assert clinic.states() == [("waiting", ""), ("read", ""), ("read", "")]
    clinic.pathway.tick()
    assert clinic.states() == [("failed", "reading-process-died"), ("read", ""), ("read", "")]
    with clinic.node.database.reading() as session:
        places = worklist(session, clinic.node.clock())
        assert len(session.scalars(select(Output)).all()) == 2
    assert [place.line.state for place in places] == ["failed", "read", "read"], "it keeps its place"
