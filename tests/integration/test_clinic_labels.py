"""An outline that a radiologist agreed with becomes a label of the de-identified study: only where the pathway's file
allows it, only of a study that is in the enclave, and by no other way than the front door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made
from tests.front_door import studies

from wardround.node.audit import Audit
from wardround.node.clinic import reader
from wardround.node.clinic.answers import judge, line_of, open_study
from wardround.node.clinic.labelling import SETTLED, Labelling
from wardround.node.clinic.states import AnswerVerb
from wardround.node.clinic.tables import Deployment, WorklistAnswer
from wardround.node.enclave.purge import purge_patient
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel
from wardround.node.optout.tables import OptOut, PatientKey

READER = "person:radiologist"


class HereReader(ToyReader):
    """The reading process' place, and what it makes of labels, in this process."""

    def call_within(self, seconds: float, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if function is reader.read:
            return super().call_within(seconds, function, *arguments)
        return function(*arguments, **named)


def outline() -> reader.Reading:
    from wardround.dicom.segmentation import write_segmentation

    slices = [pydicom.dcmread(BytesIO(part10)) for part10 in studies(3)[0].slices]
    mask = np.zeros((4, 16, 16), dtype=bool)
    mask[1:3, 4:9, 5:12] = True
    data = write_segmentation(slices, mask, model_name="m", model_version="1", sop_instance_uid="1.2.3")
    return reader.Reading(data, "1.2.3", 4.2)


class Ward:
    """A clinic whose one study is on both paths, and who makes labels there."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic, self.node = clinic, clinic.node
        door = self.node.door
        self.labelling = Labelling(
            self.node.database,
            clinic.deployments.definitions,
            clinic.worker,
            door.clinical,
            clinic.results,
            reception=door.reception,
            title="RESEARCH",
            clock=self.node.clock,
        )

    def comes(self, *, both: bool = True) -> None:
        self.clinic.arrive()
        if both:
            self.node.door.give(*studies(3)[0].slices, called="RESEARCH")
            self.node.door.tick()
        self.clinic.pathway.tick()
        with self.node.database.writing() as session:
            session.scalars(select(Deployment)).one().stage = "triage"
        with self.node.database.writing() as session:
            session.get_one(type(self.clinic.lines()[0]), 1).read_as = "triage"

    def says(self, verb: AnswerVerb, reason: str = "") -> None:
        allowed = self.clinic.deployments.definitions.labels("brain")
        at, study = self.node.clock(), self.clinic.lines()[0].study
        with self.node.database.writing() as session:
            line, deployment = line_of(session, study)
            open_study(session, line, deployment, actor=READER, at=at)
            judge(session, line, deployment, verb, reason=reason, label=allowed, actor=READER, at=at)

    def later(self) -> list[str]:
        """What became of each answer that may be a label, an hour on."""
        self.node.clock.time += SETTLED
        self.labelling.tick()
        with self.node.database.reading() as session:
            return list(session.scalars(select(WorklistAnswer.labelled).where(WorklistAnswer.label)))

    def labels(self) -> list[EnclaveLabel]:
        self.node.door.tick()
        with self.node.database.reading() as session:
            return list(session.scalars(select(EnclaveLabel)))


@pytest.fixture
def ward(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Ward]:
    toy = HereReader()
    toy.answer = lambda *_: outline()
    for clinic in made(tmp_path, package, toy):
        allow(clinic)
        clinic.register()
        clinic.deploy()
        yield Ward(clinic)


def allow(clinic: Clinic, labels: bool = True) -> None:
    clinic.define()
    file = clinic.deployments.definitions.file("brain")
    text = file.read_text()
    file.write_text(text.replace("\n[studies]", f"labels = {str(labels).lower()}\n\n[studies]", 1))


def test_what_was_agreed_with_is_the_reference_of_the_deidentified_study(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    ward.labelling.tick()
    assert ward.labels() == [], "a person may still change their mind"
    assert ward.later() == ["made"]
    [label] = ward.labels()
    assert label.is_reference
    with ward.node.database.reading() as session:
        digest = session.scalars(select(EnclaveInstance.digest).where(EnclaveInstance.uid == label.uid)).one()
        told = session.scalars(select(Audit).where(Audit.verb == "make-label")).one()
    data = ward.node.door.objects.get(digest)
    assert READER in told.detail and ward.clinic.digest in told.detail and told.detail.startswith("made")
    source = pydicom.dcmread(BytesIO(studies(3)[0].slices[0]))
    for secret in (source.PatientID, source.StudyInstanceUID, str(source.PatientName), READER):
        assert str(secret).encode() not in data
    assert ward.later() == ["made"] and len(ward.labels()) == 1


def test_nothing_is_made_where_the_file_doesnt_say_so(ward: Ward) -> None:
    allow(ward.clinic, labels=False)
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    assert ward.later() == [] and ward.labels() == []


def test_nor_where_it_says_so_no_more(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    allow(ward.clinic, labels=False)
    assert ward.later() == ["not-allowed"] and ward.labels() == []


def test_the_last_word_counts(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    ward.says(AnswerVerb.REJECTED, "artefact")
    assert ward.later() == ["superseded"] and ward.labels() == []


def test_a_study_that_isnt_in_the_enclave_gets_none(ward: Ward) -> None:
    ward.comes(both=False)
    ward.says(AnswerVerb.AGREED)
    assert ward.later() == [""] and ward.labels() == []


def test_rules_that_send_it_elsewhere_stop_it(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    ward.labelling._title = "BOTH"
    assert ward.later() == ["not-routed"] and ward.labels() == []


def test_whoever_opted_out_gives_no_label(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    with ward.node.database.writing() as session:
        key = session.scalars(select(PatientKey.key)).first()
        assert key is not None
        session.add(OptOut(key=key, kind="issuer", added_by="os:test", added_at=ward.node.clock()))
    ward.later()
    assert ward.labels() == []


def test_a_label_goes_with_the_person(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    ward.later()
    [label] = ward.labels()
    door = ward.node.door
    with door.database.writing() as session:
        purge_patient(
            session, label.pseudonym, door.purges, actor="os:test", reason="r", at=door.clock(), code="person-erased"
        )
    assert ward.labels() == []
