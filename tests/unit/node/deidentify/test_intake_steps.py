"""From quarantine to the enclave: once, whole, or refused with a reason, whatever breaks on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.front_door import EVERYONE, FrontDoor, data_set, edited, studies

from wardround.dicom.deidentify_original import Original
from wardround.dicom.statement import Deidentified, PixelWork
from wardround.foundation import files
from wardround.node.deidentify import intake
from wardround.node.deidentify.crew import Alone
from wardround.node.enclave.tables import EnclaveStudy
from wardround.node.receive.reception import Answer
from wardround.node.receive.summary import intake_summary


class Crash(BaseException):
    """Stands for the process ending here: nothing in the program may catch it."""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def test_what_is_in_the_enclave_is_gone_from_quarantine(door: FrontDoor) -> None:
    for study in studies():
        door.give_study(study)
    progress = door.tick()
    assert (progress.deidentified, dict(progress.refused), progress.left) == (10, {}, 0)
    assert door.quarantined() == []
    totals = door.enclave.totals()
    assert (totals.patients, totals.studies, totals.series, totals.instances) == (2, 2, 2, 10)
    assert intake_summary(door.database).states == {"research": {"deidentified": 10}}
    assert door.tick().done == 0


def test_it_works_in_batches_and_says_what_is_left(door: FrontDoor) -> None:
    door.give_study(studies()[0])
    door.complete()
    left = []
    for _ in range(3):
        assert door.enclave.find(EVERYONE) == (), "no cohort sees a part of a study"
        left.append(door.deidentification.tick(2).left)
    assert left == [3, 1, 0]
    assert len(door.enclave.find(EVERYONE)) == 1


def test_each_study_says_how_it_was_deidentified(door: FrontDoor) -> None:
    door.give_study(studies()[0])
    door.complete()
    while door.deidentification.tick(2).left:
        pass
    with door.database.reading() as session:
        [statement] = session.scalar(select(EnclaveStudy.statements)) or []
    assert statement["objects"] == 5
    assert "Profile" in statement["profile"]
    assert all(count > 0 for count in statement["counts"].values())
    assert statement["counts"]["remapped"] >= 5 * 3


def test_what_is_refused_stays_with_its_reason_and_holds_nothing_up(door: FrontDoor) -> None:
    slices = list(studies()[0].slices)
    slices[1] = edited(slices[1], BurnedInAnnotation="YES")
    slices[2] = edited(slices[2], PatientID="")
    door.give(*slices)
    progress = door.tick()
    assert progress.deidentified == 2
    assert progress.refused == {"burned-in-annotation": 1, "identity-missing": 1}
    assert door.quarantined_data_sets() == sorted(map(data_set, slices[1:3]))
    assert intake_summary(door.database).refused == dict(progress.refused)
    assert door.tick().done == 0, "it is refused once"


def test_an_object_that_breaks_the_deidentifier_is_refused(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poison = studies()[0].slices[1]
    deidentify = door.deidentify

    def breaks(original: Original, pixels: PixelWork | None) -> Deidentified:
        if data_set(original.part10) == data_set(poison):
            raise KeyError("Somebody^Known")
        return deidentify(original, pixels)

    assert isinstance(door.crew, Alone)
    monkeypatch.setattr(door.crew, "bench", replace(door.crew.bench, deidentify=breaks))
    door.give(*studies()[0].slices)
    progress = door.tick()
    assert (progress.deidentified, progress.refused) == (3, {"deidentification-failed": 1})
    assert "Somebody" not in caplog.text


def test_a_study_of_two_patients_is_not_mixed(door: FrontDoor) -> None:
    slices = list(studies()[0].slices)
    slices[3] = edited(slices[3], PatientID="another")
    door.give(*slices)
    progress = door.tick()
    assert (progress.deidentified, progress.refused) == (3, {"study-of-another-patient": 1})


def crash_on_call(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, nth: int, *, after: bool) -> None:
    """Let the process end at the nth call of a step, before or after its work."""
    original = getattr(owner, name)
    calls = iter(range(1, 10_000))

    def step(*args: Any, **kwargs: Any) -> Any:
        number = next(calls)
        if number == nth and not after:
            raise Crash
        result = original(*args, **kwargs)
        if number == nth:
            raise Crash
        return result

    monkeypatch.setattr(owner, name, step)


STEPS = {
    "between two objects": ("crew", "outcomes", 3, True),
    "before the first object has its name": ("files", "replace", 1, False),
    "between the names of two objects": ("files", "replace", 3, True),
    "before the vault": ("vault", "remember", 1, False),
    "after the vault": ("vault", "remember", 1, True),
    "in the transaction of the index": ("intake", "_settle", 1, False),
    "before the first original goes": (Path, "unlink", 1, False),
    "between two originals": (Path, "unlink", 3, True),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(tmp_path: Path, step: str) -> None:
    place, name, nth, after = STEPS[step]
    study = studies()[0]
    door = FrontDoor(tmp_path)
    door.give_study(study)
    door.complete()
    with pytest.MonkeyPatch.context() as patch:
        owner = {"crew": door.crew, "files": files.os, "vault": door.vault, "intake": intake}.get(str(place), place)
        crash_on_call(patch, owner, name, nth, after=after)
        with pytest.raises(Crash):
            door.deidentification.tick()
    door.close()

    again = FrontDoor(tmp_path, clock=door.clock)
    again.reception.recover()
    again.deidentification.start()
    again.deidentification.tick()
    assert again.quarantined() == []
    assert intake_summary(again.database).states == {"research": {"deidentified": 5}}
    assert again.enclave.totals().instances == 5
    [ref] = again.enclave.find(EVERYONE)
    assert again.enclave.case(ref).image.shape == (4, 16, 16)
    stored = [file for file in again.objects.root.rglob("*") if file.is_file()]
    assert len(stored) == 5, "the same object gives the same bytes, before the crash and after"
    assert len(again.vault.reveal(ref.pseudonym, actor="program", reason="test").instances) == 5
    with again.database.reading() as session:
        [statement] = session.scalar(select(EnclaveStudy.statements)) or []
        assert session.scalar(select(func.count()).select_from(EnclaveStudy)) == 1
    assert statement["objects"] == 5
    assert set(again.give(*study.slices)) == {Answer.STORED}
    assert again.quarantined() == []
    again.close()
