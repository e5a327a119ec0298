"""Opt-outs at the front door, and backwards: off the research path, on the clinical one as before."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from tests.front_door import EVERYONE, FrontDoor, edited, studies

from wardround.dicom.header_meta import read_file_meta
from wardround.foundation.errors import NotAllowed
from wardround.node.audit import Audit
from wardround.node.optout import actions
from wardround.node.optout.identifier import Kind, Scheme
from wardround.node.optout.listing import Entry, entry, read_list
from wardround.node.optout.queries import counts, excluded, excluded_count
from wardround.node.optout.register import Register
from wardround.node.receive.clinical import clinical_studies
from wardround.node.receive.summary import intake_summary

NHS = "943 476 5919"


@pytest.fixture
def door(tmp_path: Path, database_url: str) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, url=database_url)
    yield made
    made.close()


def data_set(part10: bytes) -> bytes:
    return part10[read_file_meta(part10)[1] :]


def patient_id(number: int) -> str:
    return str(pydicom.dcmread(BytesIO(studies()[number].slices[0])).PatientID)


def opt_out(door: FrontDoor, *entries: Entry, scheme: Scheme | None = None) -> actions.Changed:
    return actions.add(
        door.database, door.register, door.vault, entries, scheme=scheme, actor="operator:test", at=door.clock()
    )


def opt_in(door: FrontDoor, *entries: Entry) -> actions.Changed:
    return actions.remove(door.database, door.register, entries, actor="operator:test", at=door.clock())


def test_who_opted_out_is_refused_at_the_door_and_no_image_is_kept(door: FrontDoor) -> None:
    opt_out(door, entry("local", f"00{patient_id(0).lower()} "))
    for study in studies():
        door.give_study(study)
    progress = door.tick()
    assert (progress.deidentified, dict(progress.refused)) == (5, {"opted-out": 5})
    assert intake_summary(door.database).refused == {"opted-out": 5}, "the fact is kept"
    assert door.quarantined() == []
    assert door.enclave.totals().patients == 1
    assert len(list(door.objects.digests())) == 5, "nothing of the other patient"
    assert len(door.vault.pseudonyms()) == 1


def test_who_opts_in_again_is_taken_when_the_pacs_sends_again(door: FrontDoor) -> None:
    opt_out(door, entry("local", patient_id(0)))
    door.give_study(studies()[0])
    assert dict(door.tick().refused) == {"opted-out": 5}
    door.give_study(studies()[0])
    assert dict(door.tick().refused) == {"opted-out": 5}, "it is asked each time"
    assert intake_summary(door.database).refused == {"opted-out": 5}, "and counted once"
    opt_in(door, entry("local", patient_id(0)))
    door.give_study(studies()[0])
    assert door.tick().deidentified == 5
    assert door.enclave.count(EVERYONE) == 1


def test_the_clinical_path_is_never_touched(door: FrontDoor) -> None:
    opt_out(door, entry("local", patient_id(0)))
    study = studies()[0]
    door.give_study(study, called="BOTH")
    door.tick()
    [clinical] = clinical_studies(door.database, door.clinical)
    kept = sorted(data_set(file.read_bytes()) for file in clinical.files)
    assert kept == sorted(map(data_set, (*study.slices, study.segmentation)))


def test_who_is_in_already_is_out_of_the_next_count_and_manifest(door: FrontDoor) -> None:
    for study in studies():
        door.give_study(study)
    door.tick()
    assert door.enclave.count(EVERYONE) == 2
    before = door.enclave.manifest(EVERYONE)
    changed = opt_out(door, entry("local", patient_id(1)))
    assert (changed.changed, changed.left_out_before, changed.left_out) == (1, 0, 1)
    assert door.enclave.count(EVERYONE) == 1
    [left] = door.enclave.manifest(EVERYONE).cases
    assert {case.pseudonym for case in before.cases} - {left.pseudonym}
    assert len(list(door.objects.digests())) == 10, "nothing is destroyed unasked"
    assert opt_in(door, entry("local", patient_id(1))).left_out == 0
    assert door.enclave.manifest(EVERYONE) == before


def test_any_id_that_an_object_gives_counts(door: FrontDoor) -> None:
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = "9434765919", "NHS", "TEXT"
    by_number, by_older_id, untouched, segmentation = (*studies()[0].slices[:3], studies()[0].segmentation)
    opt_out(door, entry("nhs", NHS), entry("local", "OLD-7"))
    door.give(
        edited(by_number, OtherPatientIDsSequence=[other]),
        edited(by_older_id, OtherPatientIDs=["x", "old7"]),
        untouched,
        segmentation,
    )
    assert dict(door.tick().refused) == {"opted-out": 2}


def test_an_id_of_another_issuer_is_another_patient(door: FrontDoor) -> None:
    study = studies()[0]
    door.give(edited(study.slices[0], IssuerOfPatientID="RBH"))
    opt_out(door, entry("local", patient_id(0), "ELSEWHERE"))
    assert door.tick().deidentified == 1
    assert opt_out(door, entry("local", patient_id(0), "rbh")).left_out == 1
    assert door.enclave.count(EVERYONE) == 0


@pytest.mark.parametrize("kind", ["sha256", "hmac-sha256"])
def test_a_list_of_hashes_finds_patients_before_and_after(door: FrontDoor, kind: str) -> None:
    scheme = Scheme(Kind(kind), b"the list's own salt")
    door.give_study(studies()[0])
    door.tick()
    both = [entry(kind, scheme.digest(patient_id(number).lstrip("0").upper())) for number in (0, 1)]
    assert opt_out(door, *both, scheme=scheme).left_out == 1, "who was here before the list came"
    assert door.enclave.count(EVERYONE) == 0
    again = Register(bytes(range(32)), door.vault)
    with door.database.reading() as session:
        assert [each.secret for each in again.schemes(session).values()] == [scheme.secret]
    door.give_study(studies()[1])
    assert dict(door.tick().refused) == {"opted-out": 5}, "who comes after it"
    with pytest.raises(NotAllowed, match="--secret-file"):
        opt_out(door, *both)


def test_the_register_holds_no_identifier_and_each_change_is_in_the_audit(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    scheme = Scheme(Kind.SHA256, b"PEPPERED")
    opt_out(door, *read_list([NHS, "local,LOCALID77,ISSUER88"]))
    opt_out(door, entry("sha256", sha256(b"x").hexdigest()), scheme=scheme)
    opt_in(door, entry("local", "LOCALID77", "ISSUER88"))
    with door.database.reading() as session:
        verbs = [(row.actor, row.verb) for row in session.scalars(select(Audit)) if "opt" in row.verb]
        told = counts(session)
    door.close()
    assert verbs == [("operator:test", verb) for verb in ("add-opt-outs", "add-opt-outs", "remove-opt-outs")]
    assert told == {"nhs": 1, "sha256": 1}
    for file in tmp_path.rglob("*"):
        if file.is_file():
            data = file.read_bytes().upper()
            for secret in (
                b"9434765919",
                b"LOCALID77",
                b"ISSUER88",
                b"PEPPERED",
                sha256(b"x").hexdigest().upper().encode(),
            ):
                assert secret not in data, file.name


def test_patients_from_before_the_register_are_matched(door: FrontDoor) -> None:
    from sqlalchemy import delete

    from wardround.node.optout.tables import PatientKey

    door.give_study(studies()[0])
    door.tick()
    with door.database.writing() as session:
        session.execute(delete(PatientKey))
    assert opt_out(door, entry("local", patient_id(0))).left_out == 0
    assert actions.match_missing(door.database, door.register, door.vault, actor="program") == 1
    with door.database.reading() as session:
        assert excluded_count(session) == 1
        assert len(list(session.scalars(excluded()))) == 1
    assert door.enclave.count(EVERYONE) == 0
    assert actions.match_missing(door.database, door.register, door.vault, actor="program") == 0
