"""What the index says of an object is what its de-identified header says; damaged bytes are refused, never guessed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import highdicom
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from sqlalchemy import select
from tests.front_door import EVERYONE, SECRET, FrontDoor, studies
from tests.unit.dicom.volume_lab import series

from wardround.contracts.cohort_builder import imaging, patients
from wardround.dicom.confidentiality import Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.statement import Deidentified, Identity, Statement
from wardround.node.deidentify.tables import OpenStudy
from wardround.node.enclave.description import Description, Undescribed, describe
from wardround.node.enclave.head import read_head
from wardround.node.enclave.tables import EnclaveInstance, EnclaveSeries, EnclaveStudy


def part10(ds: Dataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def clean(ds: Dataset) -> Description:
    return describe(Deidentifier(Profile.research(), SECRET).deidentify(part10(ds)))


def as_it_is(data: bytes, sop_class: str = "1.2.840.10008.5.1.4.1.1.2") -> Deidentified:
    """Bytes as if the de-identifier had written them."""
    return Deidentified(
        data=data,
        pseudonym="WR-A",
        identity=Identity("", "", "", "", "", "", "", ""),
        study_uid="1",
        series_uid="2",
        sop_uid="3",
        sop_class_uid=sop_class,
        transfer_syntax_uid="",
        statement=Statement("", (), "", "", {}),
    )


def slice_(**values: object) -> Dataset:
    return series(2, turn=None, **values)[1]  # type: ignore[arg-type] # attributes of the slice


def test_the_attributes_that_cohorts_ask_for_are_told() -> None:
    described = clean(
        slice_(
            PatientSex="F",
            PatientAge="061Y",
            BodyPartExamined="Chest",
            Manufacturer="ACME",
            ManufacturerModelName="Scan 1",
            StudyDate="20240229",
            MagneticFieldStrength="1.5",
            ImageLaterality="L",
            ViewPosition="AP",
            ContrastBolusVolume="80",
            SliceThickness="3.5",
        )
    )
    assert (described.sex, described.age, described.modality, described.body_part) == ("F", 61, "CT", "CHEST")
    assert (described.rows, described.columns, described.bits, described.frames) == (20, 24, 12, 1)
    assert (described.row_spacing, described.column_spacing, described.thickness) == (1.5, 1.25, 3.5)
    assert (described.field_strength, described.contrast, described.number) == (1.5, True, 2)
    assert (described.laterality, described.view_position) == ("L", "AP")
    assert described.image_type == "ORIGINAL\\PRIMARY\\AXIAL" and described.photometric == "MONOCHROME2"
    assert described.position == pytest.approx(10.0)
    assert described.study_date is not None and described.study_date < date(2024, 1, 1), "a shifted date"


def test_contrast_is_yes_no_or_unknown() -> None:
    assert clean(slice_()).contrast is False
    assert clean(slice_(ContrastBolusAgent="Iohexol")).contrast is True
    assert clean(slice_(modality="PT", Units="BQML")).contrast is None


def test_an_enhanced_object_tells_what_its_frames_share() -> None:
    enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        legacy_datasets=series(4),
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    described = clean(enhanced)
    assert (described.frames, described.row_spacing, described.thickness) == (4, 1.5, 3.0)
    assert described.position is None


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_encoding_is_read_alike(syntax: str) -> None:
    ds = slice_(PatientSex="M", ManufacturerModelName="Scan")
    described = clean(ds)
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = ds.pixel_array.astype(">u2").tobytes()
    ds.file_meta.TransferSyntaxUID = syntax
    other = clean(ds)
    assert other.transfer_syntax == syntax
    for name in Description.__dataclass_fields__:
        if name != "transfer_syntax":
            assert getattr(other, name) == getattr(described, name), name


def test_values_of_no_valid_form_are_none_and_long_ones_fit_their_columns() -> None:
    ds = slice_(PatientSex="X", Manufacturer="M" * 64, InstanceNumber="2147483647")
    ds.PatientAge, ds.Modality, ds.BodyPartExamined = "old", "CT", "no/such part"
    with pydicom.config.disable_value_validation():
        data = part10(ds)
    described = describe(as_it_is(data))
    assert (described.sex, described.age, described.body_part) == (None, None, None)
    assert described.manufacturer == "M" * 64 and described.number == 2147483647


def test_an_object_that_ends_within_its_header_is_refused() -> None:
    whole = part10(slice_())
    end = whole.index(b"AXIAL") + 2
    with pytest.raises(Undescribed, match="not-indexable"):
        describe(as_it_is(whole[:end]))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_described_or_refused_and_nothing_else(data: st.DataObject) -> None:
    parts = bytearray(WHOLE[data.draw(st.integers(0, len(WHOLE) - 1))])
    header = min(len(parts), 2500)
    for _ in range(data.draw(st.integers(1, 8))):
        parts[data.draw(st.integers(128, header - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del parts[data.draw(st.integers(0, len(parts) - 1)) :]
    try:
        described = describe(as_it_is(bytes(parts), data.draw(st.sampled_from(["1.2", SEGMENTATION]))))
    except Undescribed as refused:
        assert refused.reason_code == "not-indexable" or refused.reason_code.startswith("label-")
    else:
        assert len(described.image_type or "") <= 255 and len(described.modality or "") <= 16
        assert all(len(text or "") <= 64 for text in (described.manufacturer, described.model))


SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
WHOLE = [part10(slice_()), studies()[0].segmentation]


def test_the_head_reads_what_pydicom_reads() -> None:
    for whole in WHOLE:
        head, _ = read_head(Deidentifier(Profile.research(), SECRET).deidentify(whole).data)
        ds = pydicom.dcmread(
            io.BytesIO(Deidentifier(Profile.research(), SECRET).deidentify(whole).data), stop_before_pixels=True
        )
        for element in ds:
            if element.VR in ("US", "IS", "DS", "FD", "UL") and element.VM == 1:
                assert head.numbers(int(element.tag), 1) == (float(element.value),), element.keyword
            elif element.VR in ("CS", "LO", "SH", "UI", "DA", "TM") and element.VM == 1:
                assert head.text(int(element.tag)) == (str(element.value) or None), element.keyword
            assert head.has(int(element.tag))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def test_the_index_holds_what_was_described(door: FrontDoor) -> None:
    door.give_study(studies()[0])
    door.tick()
    with door.database.reading() as session:
        [study] = session.scalars(select(EnclaveStudy))
        [image] = session.scalars(select(EnclaveSeries).where(EnclaveSeries.modality == "MR"))
        numbers = session.scalars(
            select(EnclaveInstance.number)
            .where(EnclaveInstance.series_uid == image.uid)
            .order_by(EnclaveInstance.number)
        ).all()
    assert study.date is not None and image.date is not None
    assert (image.model, image.field_strength, image.contrast) == ("Aurora 3T", 3.0, False)
    assert image.image_type is not None and image.sop_class == "1.2.840.10008.5.1.4.1.1.4"
    assert list(numbers) == [1, 2, 3, 4]


def test_a_study_that_is_still_coming_in_is_in_no_cohort_nor_is_its_label(door: FrontDoor) -> None:
    door.give_study(studies()[0])
    door.tick()
    [ref] = door.enclave.find(EVERYONE)
    with door.database.writing() as session:
        session.add(OpenStudy(study_uid=ref.study, received_study=1))
    assert door.enclave.count(EVERYONE) == 0 and door.enclave.find(EVERYONE) == ()
    with door.database.writing() as session:
        session.query(OpenStudy).delete()
        session.query(EnclaveSeries).filter(EnclaveSeries.modality == "SEG").update({"study_uid": ref.study})
        session.add(EnclaveStudy(uid="1.2.77", pseudonym=ref.pseudonym, statements=[], date=None, description=None))
        session.flush()
        session.query(EnclaveSeries).filter(EnclaveSeries.modality == "SEG").update({"study_uid": "1.2.77"})
        session.add(OpenStudy(study_uid="1.2.77", received_study=1))
    [without] = door.enclave.find(EVERYONE)
    assert without.label is None and door.enclave.count(patients.with_(imaging(has_label=True)).question()) == 0
    assert door.enclave.count(patients.with_(imaging(has_label=False)).question()) == 1
