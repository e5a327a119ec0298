"""Several people over one set of cases: who gets which, what becomes of what they draw, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE, FrontDoor, studies

from wardround.contracts.cohort_builder import CohortQuestion
from wardround.contracts.cohort_tree import Imaging
from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.foundation.files import ObjectStore
from wardround.node.annotate import sittings, work
from wardround.node.annotate.choice import Known, Trait, strategy_of
from wardround.node.annotate.forgetting import forget, sweep
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.labels import Drawn, Labels
from wardround.node.annotate.sittings import Rules, take
from wardround.node.annotate.states import LabelState
from wardround.node.annotate.subjects import Subject, Subjects
from wardround.node.annotate.tables import AnnotationLabel
from wardround.node.annotate.told import agreements, efforts, overlap_in, stats
from wardround.node.annotate.volume_file import NIFTI_GZ, write_file
from wardround.node.annotate.work import NotAnnotated, Source
from wardround.node.enclave.purge import Scope, order_purge
from wardround.node.enclave.tables import EnclaveLabel
from wardround.node.optout.tables import OptOut, PatientKey

LEE, MAY, ANN = "person:dr-lee", "person:dr-may", "person:dr-ann"


class Room:
    """An enclave with three patients' images, and nothing drawn on them."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.door = FrontDoor(folder, url=url)
        for study in studies(3):
            self.door.give(*study.slices)
        self.door.tick()
        self.subjects = Subjects(self.door.database, self.door.objects, ("MR",))
        self.labels = Labels(
            self.door.database, ObjectStore(folder / "labels"), self.door.objects, clock=self.door.clock
        )

    def take(self, actor: str, strategy: str = "first", **rules: int) -> str | None:
        listed, how = self.subjects.listed(), strategy_of(strategy)
        given = take(self.door.database, listed, strategy, how, Rules(**rules), actor=actor, clock=self.door.clock)
        return given.series if given else None

    def draw(self, series: str, last: int = 9) -> Drawn:
        """A square up to a column, as a client sends it."""
        source = Source(self.subjects.files(series).paths)
        grid = work.volume_of(source)
        mask = np.zeros(grid.array.shape, np.uint8)
        mask[1:3, 4:9, 3:last] = 1
        return work.kept(source, "a.nii.gz", write_file(Grid(mask, grid.affine), NIFTI_GZ), "clicks", "glioma")

    def save(self, actor: str, series: str, last: int = 9) -> AnnotationLabel:
        return self.labels.save(self.subjects.find(series), self.draw(series, last), actor=actor)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.door.close()


def test_two_people_at_once_get_two_cases_and_nobody_a_third_time(room: Room) -> None:
    series = [subject.series for subject in room.subjects.listed()]
    assert [room.take(LEE), room.take(MAY), room.take(ANN)] == series
    assert room.take("person:dr-kim") is None
    room.save(LEE, series[0])
    room.door.clock.time += timedelta(hours=3)
    # May's and Ann's were held long enough; what Lee drew is offered to nobody.
    assert {room.take(LEE), room.take("person:dr-kim")} == set(series[1:])


def test_a_case_that_is_passed_on_goes_to_others_and_comes_back_last(room: Room) -> None:
    first = room.take(LEE)
    second = room.take(LEE)
    assert first != second
    assert room.take(MAY) == first
    third = room.take(LEE)
    assert third not in (first, second)
    room.save(LEE, str(third))
    assert room.take(LEE) == second


def test_two_readers_each_draw_a_case_and_neither_is_led_by_the_other(room: Room) -> None:
    series = room.take(LEE, readers=2)
    assert series is not None and room.take(MAY, readers=2) == series
    assert room.take(ANN, readers=2) != series
    lee, may = room.save(LEE, series, 9), room.save(MAY, series, 13)
    assert (lee.version, may.version) == (1, 2)
    assert room.labels.newest(series, "final", actor=LEE, readers=2).id == lee.id
    with pytest.raises(NotFound):
        room.labels.newest(series, "final", actor=ANN, readers=2)
    assert room.labels.newest(series, "final", actor=ANN, readers=1).id == may.id
    [agreed] = agreements(room.door.database, overlap_in(room.labels.files))
    assert agreed.people == (LEE, MAY)
    assert agreed.dice == pytest.approx(2 * 60 / (60 + 100))
    assert stats(room.door.database, room.subjects, 2)["completed"] == 1


def test_an_accepted_label_is_the_enclaves_and_cohorts_see_it(room: Room) -> None:
    labelled = CohortQuestion(where=Imaging(has_label=True))
    series = str(room.take(LEE))
    saved = room.save(LEE, series)
    assert room.door.enclave.count(labelled) == 0
    with pytest.raises(NotAllowed, match="somebody else"):
        room.labels.accept(saved.id, actor=LEE)
    room.labels.accept(saved.id, actor=MAY, note="as discussed")
    assert room.door.enclave.count(labelled) == 1
    [case] = [room.door.enclave.case(one) for one in room.door.enclave.find(EVERYONE) if one.series == series]
    assert case.label is not None and int(case.label.sum()) == 60
    better = room.save(MAY, series, 13)
    room.door.clock.time += timedelta(minutes=1)
    room.labels.accept(better.id, actor=LEE)
    [ref] = [one for one in room.door.enclave.find(EVERYONE) if one.series == series]
    label = room.door.enclave.case(ref).label
    assert label is not None and int(label.sum()) == 100
    assert LabelState(room.labels.find(saved.id).state) is LabelState.REPLACED
    with room.door.database.reading() as session:
        assert len(session.scalars(select(EnclaveLabel)).all()) == 2
    with pytest.raises(Conflict):
        room.labels.reject(better.id, actor=LEE, reason="no")


def test_a_rejected_label_stays_and_its_case_is_offered_again(room: Room) -> None:
    series = str(room.take(LEE))
    saved = room.save(LEE, series)
    with pytest.raises(NotAllowed, match="say why"):
        room.labels.reject(saved.id, actor=MAY, reason=" ")
    room.labels.reject(saved.id, actor=MAY, reason="the other side")
    assert room.labels.find(saved.id).reason == "the other side"
    assert room.take(LEE) == series


def test_how_long_a_case_took_is_kept_with_what_helped(room: Room) -> None:
    series = str(room.take(LEE))
    sittings.note_help(room.door.database, series, "clicks", actor=LEE)
    room.door.clock.time += timedelta(minutes=4)
    room.save(LEE, series)
    other = str(room.take(LEE))
    room.door.clock.time += timedelta(minutes=10)
    room.save(LEE, other)
    assert [(one.helped, one.minutes) for one in efforts(room.door.database)] == [(False, 10.0), (True, 4.0)]


def test_strategies_put_first_what_they_are_named_for() -> None:
    cases = [Subject(name, "", "", "MR", "", "") for name in "abcd"]
    traits = {"a": Trait((0.0, 0.0), 0.2), "b": Trait((0.1, 0.0), 0.9), "c": Trait((9.0, 9.0), None)}
    known = Known(traits, frozenset({"a"}))

    def order(name: str) -> str:
        return "".join(one.series for one in strategy_of(name).order(cases, known))

    assert order("first") == "abcd"
    assert order("uncertainty")[:2] == "ba"
    assert order("diversity")[0] == "c" and order("diversity")[-1] == "d"
    assert sorted(order("random")) == list("abcd")
    with pytest.raises(NotFound, match="uncertainty"):
        strategy_of("best")


def test_a_label_of_several_structures_or_on_another_image_is_refused(room: Room) -> None:
    series = str(room.take(LEE))
    source = Source(room.subjects.files(series).paths)
    grid = work.volume_of(source)
    two = np.zeros(grid.array.shape, np.uint8)
    two[0, 0, :2] = (1, 2)
    with pytest.raises(NotAnnotated, match="2 structures"):
        work.kept(source, "a.nii.gz", write_file(Grid(two, grid.affine), NIFTI_GZ), "", "glioma")
    with pytest.raises(NotAnnotated, match="draw it on"):
        work.kept(source, "a.nii.gz", write_file(Grid(two * 0, np.eye(4)), NIFTI_GZ), "", "glioma")


def test_a_patient_who_is_forgotten_leaves_neither_rows_nor_files(room: Room) -> None:
    lee, may = str(room.take(LEE)), str(room.take(MAY))
    gone, stays = room.save(LEE, lee, 9), room.save(MAY, may, 13)
    later = room.door.clock() + timedelta(days=36_500)
    assert sweep(room.door.database, room.labels.files, later) == 0
    with room.door.database.writing() as session:
        forget(session, gone.pseudonym)
    assert sweep(room.door.database, room.labels.files, later) == 2
    with pytest.raises(NotFound):
        room.labels.find(gone.id)
    assert not room.labels.files.has(gone.seg) and room.labels.files.has(stays.nifti)


def test_a_purged_study_takes_its_labels_along(room: Room) -> None:
    saved = room.save(LEE, str(room.take(LEE)))
    scope, at = Scope("study", saved.study), room.door.clock()
    with room.door.database.writing() as session:
        order_purge(session, scope, room.door.purges, actor="os:anna", reason="kept by mistake", at=at)
    sweep(room.door.database, room.labels.files, at + timedelta(days=36_500))
    assert list(room.labels.files.digests()) == []
    with pytest.raises(NotFound):
        room.labels.find(saved.id)


def test_who_opted_out_is_in_no_list_from_then_on(room: Room) -> None:
    first = room.subjects.listed()[0]
    with room.door.database.writing() as session:
        key = session.scalars(select(PatientKey.key).where(PatientKey.pseudonym == first.pseudonym)).first()
        session.add(OptOut(key=key, kind="patient", added_at=room.door.clock(), added_by="os:anna"))
    assert first.series not in {subject.series for subject in room.subjects.listed()}
    with pytest.raises(NotFound):
        room.subjects.files(first.series)


def test_labels_and_cases_hold_on_either_database(tmp_path: Path, database_url: str) -> None:
    room = Room(tmp_path, database_url)
    try:
        series = str(room.take(LEE))
        assert room.take(MAY) != series
        saved = room.save(LEE, series)
        assert room.save(MAY, series).version == 2
        assert room.labels.accept(saved.id, actor=MAY).state == LabelState.ACCEPTED
        assert stats(room.door.database, room.subjects, 1) == {
            "total": 3,
            "completed": 1,
            "label_tags": {"final": 1},
        }
    finally:
        room.door.close()
