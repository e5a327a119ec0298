"""An outline that a radiologist agreed with becomes a label of the de-identified study: only where the pathway's file
allows it, only of a study that is in the enclave, and by no other way than the front door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made
from tests.front_door import SECRET, studies

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.dicom.volume import read_volume
from wardround.foundation.clock import now
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.volume_file import NIFTI_GZ, write_file
from wardround.node.audit import Audit
from wardround.node.clinic import reader
from wardround.node.clinic.answers import Corrected, judge, line_of, open_study
from wardround.node.clinic.correction import correct
from wardround.node.clinic.labelling import SETTLED, Labelling
from wardround.node.clinic.retention import Retention
from wardround.node.clinic.states import AnswerVerb
from wardround.node.clinic.tables import Deployment, WorklistAnswer
from wardround.node.enclave.purge import finish_purges, purge_patient
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.receive.clinical import clinical_study

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
            new_uid=PseudonymKeys(SECRET).uid,
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

    def corrects(self) -> np.ndarray[Any, Any]:
        """A radiologist draws the outline as it should have been; returns that mask."""
        clinical = clinical_study(self.node.database, self.node.door.clinical, self.clinic.lines()[0].study)
        assert clinical is not None
        mask = np.zeros((4, 16, 16), dtype=bool)
        mask[1:3, 4:12, 5:12] = True
        drawn = write_file(Grid(mask.astype(np.uint8), read_volume(clinical.files).affine), NIFTI_GZ)
        definition = self.clinic.deployments.definitions.of("brain")
        outline = self.clinic.results / str(self.clinic.lines()[0].result)
        found = correct(definition, clinical.files, outline, drawn, assisted_by="m", at=self.node.clock())
        (self.clinic.results / "correction.dcm").write_bytes(found.segmentation)
        self.says(AnswerVerb.CORRECTED, "too-small", Corrected("correction.dcm", found.overlap))
        return mask

    def says(self, verb: AnswerVerb, reason: str = "", corrected: Corrected | None = None) -> None:
        allowed = self.clinic.deployments.definitions.labels("brain")
        at, study = self.node.clock(), self.clinic.lines()[0].study
        with self.node.database.writing() as session:
            line, deployment = line_of(session, study)
            open_study(session, line, deployment, actor=READER, at=at)
            judge(
                session,
                line,
                deployment,
                verb,
                reason=reason,
                label=allowed,
                corrected=corrected,
                actor=READER,
                at=at,
            )

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


def test_an_outline_that_was_corrected_is_the_reference_and_not_the_models(ward: Ward) -> None:
    ward.comes()
    mask = ward.corrects()
    assert ward.later() == ["made"]
    [label] = ward.labels()
    with ward.node.database.reading() as session:
        digest = session.scalars(select(EnclaveInstance.digest).where(EnclaveInstance.uid == label.uid)).one()
        [answer] = session.scalars(select(WorklistAnswer).where(WorklistAnswer.label))
        on_record = session.scalars(select(Audit.detail).where(Audit.verb == "correct-result")).one()
    data = ward.node.door.objects.get(digest)
    ds = pydicom.dcmread(BytesIO(data))
    assert int(ds.pixel_array.sum()) == int(mask.sum()) == 112 and label.is_reference
    assert ds.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    # 70 of the model's voxels lie within 112.
    assert answer.overlap == pytest.approx(2 * 70 / 182) and "0.769" in on_record
    source = pydicom.dcmread(BytesIO(studies(3)[0].slices[0]))
    for secret in (source.PatientID, source.StudyInstanceUID, str(source.PatientName), READER):
        assert str(secret).encode() not in data


def test_a_correction_in_words_is_none(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.CORRECTED, "too-small")
    assert ward.later() == [] and ward.labels() == []


def test_what_was_made_of_an_answer_goes_once_the_answer_changes(ward: Ward) -> None:
    ward.comes()
    ward.says(AnswerVerb.AGREED)
    assert ward.later() == ["made"]
    [agreed] = ward.labels()
    with ward.node.database.reading() as session:
        digest = session.scalars(select(EnclaveInstance.digest).where(EnclaveInstance.uid == agreed.uid)).one()
    ward.corrects()
    assert ward.later() == ["withdrawn", "made"]
    [corrected] = ward.labels()
    assert corrected.uid != agreed.uid
    ward.says(AnswerVerb.REJECTED, "artefact")
    ward.labelling.tick()
    assert ward.labels() == [] and ward.later() == ["withdrawn", "withdrawn"]
    door = ward.node.door
    finish_purges(door.database, door.objects, ward.clinic.results / "none", at=now() + timedelta(days=1))
    assert not door.objects.path(digest).exists()
    with ward.node.database.reading() as session:
        told = session.scalars(select(Audit.detail).where(Audit.verb == "withdraw-label")).all()
        images = session.scalars(select(EnclaveInstance.uid)).all()
    assert len(told) == 2 and len(images) == 4, "the patient's study stays"


def test_a_corrected_outline_is_kept_no_longer_than_the_study(ward: Ward) -> None:
    ward.comes()
    ward.corrects()
    file = ward.clinic.results / "correction.dcm"
    keep, clock = timedelta(days=14), ward.node.clock
    Retention(ward.node.database, ward.node.door.clinical, ward.clinic.results, keep, clock).tick()
    assert file.exists()
    clock.time += keep + timedelta(hours=1)
    Retention(ward.node.database, ward.node.door.clinical, ward.clinic.results, keep, clock).tick()
    assert not file.exists()
    assert ward.later() == ["gone"] and ward.labels() == []


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
