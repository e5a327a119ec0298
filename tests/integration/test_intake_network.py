"""The front door over real associations, on both databases, and what can be read of a patient behind it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID
from tests.front_door import EVERYONE, FrontDoor, studies

from wardround.contracts.cohort_builder import imaging, patients
from wardround.demo.identities import Canaries
from wardround.dicom.network import Peer, SendReport, StorageReceiver, send
from wardround.node.receive.clinical import clinical_studies, purge_clinical
from wardround.node.receive.summary import intake_summary


@pytest.fixture
def door(tmp_path: Path, database_url: str) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, url=database_url)
    yield made
    made.close()


def deliver(door: FrontDoor, *objects: bytes, called: str = "RESEARCH") -> SendReport:
    with StorageReceiver(["RESEARCH", "CLINIC", "BOTH", "NOWHERE"], landing=door.reception) as receiver:
        report = send(objects, Peer("127.0.0.1", receiver.port, called), "PACS")
    assert door.reception.settle(60)
    return report


def test_from_the_pacs_to_a_cohort(door: FrontDoor) -> None:
    first, second = studies()
    assert deliver(door, *first.slices, first.segmentation, called="BOTH").complete
    assert deliver(door, second.segmentation, *second.slices).complete
    assert deliver(door, *second.slices).complete, "sent again"
    assert door.tick().deidentified == 10
    labelled = patients.with_(imaging(has_label=True, modality="MR")).question()
    assert door.enclave.count(labelled) == 2
    for ref in door.enclave.manifest(labelled).cases:
        case = door.enclave.case(ref)
        assert case.label is not None
        assert case.image.shape == case.label.shape
    [clinical] = clinical_studies(door.database, door.clinical)
    assert sorted(file.read_bytes()[-200:] for file in clinical.files) == sorted(
        part10[-200:] for part10 in (*first.slices, first.segmentation)
    )
    door.clock.time += timedelta(days=30)
    purged = purge_clinical(door.database, door.clinical, older_than=door.clock(), actor="program")
    assert purged.instances == 5
    assert [file for file in door.clinical.rglob("*") if file.is_file()] == []
    summary = intake_summary(door.database)
    assert summary.states == {"research": {"deidentified": 10}, "clinic": {"purged": 5}}
    assert summary.instances_refused == 0


def test_the_sender_hears_what_was_not_taken(door: FrontDoor) -> None:
    first = studies()[0].slices[0]
    assert deliver(door, first).complete
    other = pydicom.dcmread(BytesIO(first))
    other.InstanceNumber = 99
    buffer = BytesIO()
    other.save_as(buffer)
    statuses = [
        deliver(door, buffer.getvalue()).refused[0].status,
        deliver(door, first, called="NOWHERE").refused[0].status,
    ]
    assert statuses == [0xC001, 0x0124]
    assert intake_summary(door.database).refused == {"conflicting-content": 1, "not-routed": 1}


def test_nothing_of_a_patient_is_behind_the_door(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    canaries = Canaries()
    sent = studies(2, canaries=True)
    caplog.clear()
    caplog.set_level("DEBUG")
    door = FrontDoor(tmp_path)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for study in sent:
            objects = [*study.slices, study.segmentation]
            assert canaries.found_in(b"".join(objects)), "the canaries are in what is sent"
            assert deliver(door, *objects, called="BOTH").complete
        odd = pydicom.dcmread(BytesIO(sent[0].slices[0]))
        odd.SOPInstanceUID = odd.file_meta.MediaStorageSOPInstanceUID = UID(f"{canaries.uid_root}.7")
        odd.BurnedInAnnotation = "YES"
        with pydicom.config.disable_value_validation():
            odd.StudyInstanceUID = f"{canaries.uid_root}.not.a.uid"
        buffer = BytesIO()
        odd.save_as(buffer)
        deliver(door, buffer.getvalue())
        assert dict(door.tick().refused) == {"burned-in-annotation": 1}
        for ref in door.enclave.find(EVERYONE):
            door.enclave.case(ref)
            door.vault.reveal(ref.pseudonym, actor="person:auditor", reason="a test")
        door.close()
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    behind = [file for file in kept if not {"quarantine", "clinical"} & set(file.relative_to(tmp_path).parts)]
    assert len(behind) > 12
    leaks = {file.name: canaries.found_in(file.read_bytes()) for file in behind}
    assert {name: found for name, found in leaks.items() if found} == {}
    names = "\n".join(str(file.relative_to(tmp_path)) for file in kept)
    said = "\n".join([caplog.text, *capfd.readouterr(), *(str(one.message) for one in warned), names])
    assert [line for line in said.splitlines() if canaries.found_in(line.encode())] == []
