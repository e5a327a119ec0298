"""The summary of a header, whatever state the header is in."""

from datetime import date

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from wardround.demo.patients import to_dicom
from wardround.demo.phantoms import hospitals
from wardround.dicom.confidentiality import Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.header import age_years, summary


def test_a_deidentified_series_and_its_segmentation_are_summarised() -> None:
    hospital = hospitals(2, seed=5, patients=1, slices=3, matrix=16)[0]
    patient = hospital.patient(hospital.keys[0])
    study = to_dicom(patient)
    deidentifier = Deidentifier(Profile.research(), b"a secret of the unit tests")
    image, label = (deidentifier.deidentify(part) for part in (study.slices[1], study.segmentation))
    series, instance = summary(image.data)
    assert (series.patient, series.study_instance_uid, series.series_instance_uid) == (
        image.pseudonym,
        image.study_uid,
        image.series_uid,
    )
    assert (series.modality, series.body_part, series.sex) == ("MR", "HEAD", patient.identity.sex)
    assert series.age_years == patient.identity.age
    assert series.study_date is not None and series.study_date < patient.identity.study_date
    assert (series.rows, series.columns, instance.frames) == (16, 16, 1)
    assert series.pixel_spacing == pytest.approx(patient.spacing[1:])
    assert series.manufacturer == patient.equipment.manufacturer
    assert instance.sop_instance_uid == image.sop_uid
    assert instance.position is not None and len(instance.position) == 3

    segmentation, _ = summary(label.data)
    assert segmentation.modality == "SEG"
    assert segmentation.referenced_series_uids == (image.series_uid,)
    assert segmentation.pixel_spacing == pytest.approx(patient.spacing[1:])


def test_an_empty_header_gives_an_empty_summary() -> None:
    series, instance = summary(pydicom.Dataset())
    assert series.patient == "" and series.age_years is None and series.study_date is None
    assert instance.rows is None and instance.frames == 1


@pytest.mark.filterwarnings("ignore")
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *(0x00080020, 0x00080060, 0x00081115, 0x00100040, 0x00101010, 0x00180050, 0x0020000D, 0x00200013),
                *(0x00200032, 0x00200037, 0x00280008, 0x00280010, 0x00280030, 0x52009229),
            ]
        ),
        st.tuples(st.sampled_from(["US", "LO", "DS", "IS", "DA", "AS", "UI", "FD", "UN"]), st.binary(max_size=12)),
    )
)
def test_malformed_values_are_left_out_never_raised(values: dict[int, tuple[str, bytes]]) -> None:
    dataset = pydicom.Dataset()
    for tag, (vr, value) in values.items():
        dataset[tag] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
    series, instance = summary(dataset)
    assert series.rows is None or isinstance(series.rows, int)
    assert series.study_date is None or isinstance(series.study_date, date)
    assert instance.position is None or len(instance.position) == 3


@pytest.mark.parametrize(
    ("text", "years"), [("045Y", 45), ("018M", 1), ("030W", 0), ("400D", 1), ("old", None), (None, None)]
)
def test_ages_are_told_in_whole_years(text: str | None, years: int | None) -> None:
    assert age_years(text) == years
