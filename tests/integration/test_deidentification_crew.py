"""The processes that de-identify: an object that kills one, or holds it, is set aside and holds nothing up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import psutil
import pydicom
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from tests.front_door import EVERYONE, SECRET, FrontDoor, studies
from tests.integration.deidentify_poison import BREAKS, HANGS, KILLS, Poisoned

from wardround.demo.identities import Canaries
from wardround.dicom.confidentiality import Profile
from wardround.foundation import database as relational
from wardround.foundation.files import ASIDE
from wardround.node.deidentify.crew import CrewBroken, Processes, Recipe
from wardround.node.deidentify.work import Clean, Job
from wardround.node.receive.summary import intake_summary
from wardround.node.receive.tables import ReceivedInstance

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The crew's processes have no working directory to import this test's recipe from."""
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{path}" if path else str(ROOT))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def crew_of(door: FrontDoor, size: int, seconds: float = 60) -> Processes:
    recipe = Poisoned(Profile.research(), SECRET, door.quarantine, door.objects.root / ASIDE)
    door.crew = door.deidentification._crew = Processes(recipe, size, seconds=seconds)
    return door.crew


def with_comment(part10: bytes, comment: bytes) -> bytes:
    ds = pydicom.dcmread(BytesIO(part10))
    ds.ImageComments = comment.decode()
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


@pytest.mark.parametrize("size", [1, 2])
def test_an_object_that_kills_its_process_is_refused_and_the_others_go_on(door: FrontDoor, size: int) -> None:
    crew_of(door, size)
    first, second = studies()
    poison = with_comment(first.slices[1], KILLS)
    door.give(first.slices[0], poison, *first.slices[2:], first.segmentation)
    door.give_study(second)
    progress = door.tick()
    assert (progress.deidentified, dict(progress.refused)) == (9, {"deidentification-crashed": 1})
    [left] = door.quarantined()
    assert KILLS in left.read_bytes(), "it stays, for a person to look at"
    assert len(list(door.objects.digests())) == 9 and list((door.objects.root / ASIDE).iterdir()) == []


def test_several_poisonous_objects_in_one_study_cost_nobody_else_anything(door: FrontDoor) -> None:
    crew_of(door, 2)
    first, second = studies()
    door.give(*(with_comment(part10, KILLS) for part10 in first.slices[:3]), first.slices[3])
    door.give(with_comment(second.slices[0], BREAKS), *second.slices[1:])
    progress = door.tick()
    assert progress.deidentified == 4
    assert dict(progress.refused) == {"deidentification-crashed": 3, "deidentification-failed": 1}


def test_an_object_that_takes_too_long_is_given_up(door: FrontDoor) -> None:
    crew_of(door, 2, seconds=4)
    study = studies()[0]
    door.give(with_comment(study.slices[0], HANGS), *study.slices[1:])
    progress = door.tick()
    assert (progress.deidentified, dict(progress.refused)) == (3, {"deidentification-too-slow": 1})


def test_a_crew_that_does_not_start_blames_no_object(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = crew_of(door, 1)
    door.give_study(studies()[0])
    door.complete()
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(door.home))
        with pytest.raises(CrewBroken):
            door.deidentification.tick()
    assert crew.process_ids() == [] and len(door.quarantined()) == 5
    assert door.deidentification.tick().deidentified == 5


def test_a_process_that_was_killed_from_outside_loses_nothing(door: FrontDoor) -> None:
    crew = crew_of(door, 2)
    door.give_study(studies()[0])
    assert door.tick().deidentified == 5
    for pid in crew.process_ids():
        os.kill(pid, signal.SIGKILL)
    door.give_study(studies()[1])
    assert door.tick().deidentified == 5


def test_the_processes_are_small_and_import_nothing_heavy(door: FrontDoor) -> None:
    crew = crew_of(door, 1)
    door.give_study(studies()[0])
    door.tick()
    [process] = map(psutil.Process, crew.process_ids())
    loaded = {Path(entry.path).name.split(".")[0] for entry in process.memory_maps()}
    assert not loaded & {"libtorch_cpu", "_C", "libtorch"} and "sqlalchemy" not in " ".join(loaded)
    assert process.memory_info().rss < 150e6
    assert set(process.environ()) >= {"OMP_NUM_THREADS"} and process.num_threads() <= 2


def test_they_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    crew = crew_of(door, 2)
    for study in studies():
        door.give_study(study)
    door.tick()
    processes = [psutil.Process(pid) for pid in crew.process_ids()]
    assert processes
    door.close()
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_the_same_object_gives_the_same_bytes_in_every_process(door: FrontDoor) -> None:
    quarantine, aside = door.quarantine, door.objects.root / ASIDE
    (quarantine / "one.dcm").write_bytes(studies()[0].slices[0])
    digests = set()
    for _ in range(3):
        crew = Processes(Recipe(Profile.research(), SECRET, quarantine, aside), 2)
        crew.give([Job(number, "one.dcm") for number in range(6)])
        while crew.busy:
            digests |= {each.digest for each in crew.outcomes(5) if isinstance(each, Clean)}
        crew.stop()
    assert len(digests) == 1


def test_a_database_that_is_locked_delays_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relational, "BUSY_SECONDS", 0)
    door = FrontDoor(tmp_path)
    door.give_study(studies()[0])
    door.complete()
    with door.database.engine.connect() as other:
        other.execution_options(**{relational.WRITES: True})
        other.execute(text("SELECT 1"))
        with pytest.raises(OperationalError, match="locked"):
            door.deidentification.tick()
    assert len(door.quarantined()) == 5 and door.enclave.find(EVERYONE) == ()
    assert door.deidentification.tick().deidentified == 5
    assert door.quarantined() == [] and len(door.enclave.find(EVERYONE)) == 1
    door.close()


def test_identifiers_lie_in_clear_in_quarantine_and_on_the_clinical_path_alone(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path, workers=2)
    [study] = studies(1, canaries=True)
    door.give_study(study, called="BOTH")
    refused = pydicom.dcmread(BytesIO(study.slices[0]))
    refused.SOPInstanceUID, refused.BurnedInAnnotation = "1.2.3", "YES"
    out = BytesIO()
    refused.save_as(out)
    door.give(out.getvalue())
    progress = door.tick()
    assert (progress.deidentified, progress.left) == (5, 0)
    with door.database.reading() as session:
        [row] = session.scalars(select(ReceivedInstance).where(ReceivedInstance.reason == "burned-in-annotation"))
    assert intake_summary(door.database).refused == {"burned-in-annotation": 1}
    clear = {file for file in tmp_path.rglob("*") if file.is_file() and Canaries().found_in(file.read_bytes())}
    in_their_place = {door.quarantine / str(row.file), *door.clinical.rglob("*.dcm")}
    assert clear == {file for file in in_their_place if file.is_file()}
    door.close()
