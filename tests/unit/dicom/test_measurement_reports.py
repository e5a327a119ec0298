"""What a model found as SR and as a picture: valid DICOM whatever the source's header is like, true to the numbers."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label
from scipy.spatial.distance import pdist
from tests.front_door import studies

from wardround.dicom.capture import key_slice, write_capture
from wardround.dicom.finding import (
    CUBIC_MM,
    LONG_AXIS,
    MM,
    PROBABILITY,
    RATIO,
    VOLUME,
    Earlier,
    Finding,
    MadeBy,
    Measurement,
    coded,
    number_concept,
    unit_of,
)
from wardround.dicom.measurement_report import uid_of_digest, write_measurements
from wardround.dicom.measuring import longest_diameter_mm, volume_mm3
from wardround.dicom.segmentation import write_segmentation
from wardround.dicom.summary import write_summary

DCIODVFY = Path("/usr/bin/dciodvfy")
DIGEST = "ab" * 32
BANNER = "SHADOW: not for diagnostic use"
AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BY = MadeBy("brain-mri-glioma", "0.1.0", DIGEST, "Wardround 0.1.0")


def source(**values: object) -> list[pydicom.Dataset]:
    slices = [pydicom.dcmread(BytesIO(part10)) for part10 in studies(3)[0].slices]
    for ds in slices:
        for keyword, value in values.items():
            if value is None:
                ds.pop(keyword, None)
            else:
                setattr(ds, keyword, value)
    # As it would come: read from bytes, its texts not decoded yet.
    written = []
    for ds in slices:
        part10 = BytesIO()
        ds.save_as(part10)
        written.append(pydicom.dcmread(BytesIO(part10.getvalue())))
    return written


def marked() -> np.ndarray:
    mask = np.zeros((4, 16, 16), dtype=bool)
    mask[1:3, 4:9, 5:12] = True
    mask[2, 9, 9] = True
    return mask


def outline(banner: str = BANNER, of: str = "tumour") -> Finding:
    sizes = (Measurement(VOLUME, 1234.56789, CUBIC_MM), Measurement(LONG_AXIS, 12.3, MM))
    return Finding(of, f"{of} marked, 1.2 ml", sizes, BY, AT, banner, True)


def written(slices: list[pydicom.Dataset], finding: Finding) -> dict[str, bytes]:
    """All the objects of a reading."""
    segmentation = write_segmentation(
        slices,
        marked(),
        model_name=BY.name,
        model_version=BY.version,
        banner=finding.banner,
        label=finding.of.capitalize(),
        coded=coded(finding.of),
    )
    return {
        "seg": segmentation,
        "sr": write_measurements(slices, finding, segmentation=pydicom.dcmread(BytesIO(segmentation))),
        "capture": write_capture(slices, marked(), finding),
        "pdf": write_summary(slices, marked(), finding),
    }


def errors(data: bytes, folder: Path) -> list[str]:
    file = folder / "object.dcm"
    file.write_bytes(data)
    found = subprocess.run([DCIODVFY, "-new", file], capture_output=True, text=True, check=False)
    return [line for line in (found.stderr + found.stdout).splitlines() if line.startswith("Error")]


AWKWARD = {
    "as it comes": {},
    "without a birth date, sex or accession": {"PatientBirthDate": None, "PatientSex": None, "AccessionNumber": None},
    "dates that are none": {"PatientBirthDate": "00010101", "StudyDate": "20261345", "StudyTime": "256060"},
    "a long name": {"PatientName": "Featherstonehaugh-Cholmondeley^" + "Wilhelmina Aurelia " * 4},
    "Latin-1": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg", "StudyDescription": "Schädel"},
    "Japanese": {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
    "UTF-8": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Ωμέγα^Ζωή", "PatientSex": "F"},
}


@pytest.mark.skipif(not DCIODVFY.exists(), reason="Debian's dicom3tools is not installed")
@pytest.mark.parametrize("case", AWKWARD)
def test_every_object_is_valid_whatever_the_header_is_like(case: str, tmp_path: Path) -> None:
    slices = source(**AWKWARD[case])
    name = str(slices[0].PatientName)
    for kind, data in written(slices, outline()).items():
        assert errors(data, tmp_path) == [], kind
        ds = pydicom.dcmread(BytesIO(data))
        assert (ds.PatientID, ds.StudyInstanceUID) == (slices[0].PatientID, slices[0].StudyInstanceUID)
        assert str(ds.PatientName)[:64] == name[:64] and ds.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.skipif(not DCIODVFY.exists(), reason="Debian's dicom3tools is not installed")
@pytest.mark.parametrize("of", ["tumour", "organs at risk", "Zyste, links — nicht kodiert"])
def test_what_no_standard_has_a_code_for_is_valid_too(of: str, tmp_path: Path) -> None:
    slices = source()
    for kind, data in written(slices, outline("", of)).items():
        assert errors(data, tmp_path) == [], kind
    number = Finding(of, "32 points", (Measurement(number_concept(of), 32.0, unit_of("points")),), BY, AT)
    assert errors(write_measurements(slices, number, segmentation=None), tmp_path) == []


def test_the_report_says_what_was_measured_by_which_model_and_in_what() -> None:
    slices = source()
    objects = written(slices, outline())
    report = highdicom.sr.srread(BytesIO(objects["sr"]))
    [group] = report.content.get_volumetric_roi_measurement_groups()
    values = {one.name.meaning: (one.value, one.unit.value) for one in group.get_measurements()}
    assert values == {"Volume": (1234.57, "mm3"), "Long axis": (12.3, "mm")}
    assert group.finding_type.value == "108369006"
    assert (
        group.referenced_segment.referenced_sop_instance_uid == pydicom.dcmread(BytesIO(objects["seg"])).SOPInstanceUID
    )
    segment = pydicom.dcmread(BytesIO(objects["seg"])).SegmentSequence[0]
    assert group.tracking_uid == segment.TrackingUID, "a viewer can tell that both are of one thing"
    assert ("Neoplasm", "Present") in [
        (one.name.meaning, one.value.meaning) for one in group.get_qualitative_evaluations()
    ]
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    [library] = [one for one in report.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == "111028"]
    assert library.ContentSequence[0].ContentSequence
    text = str(report)
    for said in (DIGEST, BY.name, BY.version, uid_of_digest(DIGEST), BANNER, "Artificial Intelligence"):
        assert said in text
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    named = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert named >= {ds.SOPInstanceUID for ds in slices}


def test_where_nothing_was_marked_the_report_says_absent() -> None:
    slices, nothing = source(), replace(outline(), marked=False, measurements=(Measurement(VOLUME, 0.0, CUBIC_MM),))
    report = highdicom.sr.srread(BytesIO(written(slices, nothing)["sr"]))
    [group] = report.content.get_volumetric_roi_measurement_groups()
    told = {one.name.meaning: one.value.meaning for one in group.get_qualitative_evaluations()}
    assert (told["Neoplasm"], told["Stage of use"]) == ("Absent", BANNER)


def test_a_model_that_outlines_nothing_reports_its_number() -> None:
    finding = Finding("lesion", "lesion: 87%", (Measurement(PROBABILITY, 0.8731, RATIO),), BY, AT, BANNER)
    report = highdicom.sr.srread(BytesIO(write_measurements(source(), finding, segmentation=None)))
    [group] = report.content.get_image_measurement_groups()
    assert [(one.name.meaning, one.value) for one in group.get_measurements()] == [("Probability", 0.8731)]


def test_what_an_earlier_study_came_to_stands_beside_it_and_names_that_study(tmp_path: Path) -> None:
    slices, then = source(), source(StudyInstanceUID="1.2.840.1", SeriesInstanceUID="1.2.840.2")[2]
    then.SOPInstanceUID = "1.2.840.3"
    before = (Measurement(VOLUME, 1000.0, CUBIC_MM),)
    image = (then.StudyInstanceUID, then.SeriesInstanceUID, then.SOPClassUID, then.SOPInstanceUID)
    for segmented in (True, False):
        finding = replace(outline(), earlier=Earlier(*image, days=34, measurements=before))
        segmentation = pydicom.dcmread(BytesIO(written(slices, finding)["seg"])) if segmented else None
        data = write_measurements(slices, finding, segmentation=segmentation)
        if DCIODVFY.exists():
            assert errors(data, tmp_path) == []
        report = highdicom.sr.srread(BytesIO(data))
        then_group = report.content.get_image_measurement_groups()[-1]
        assert [(one.name.meaning, one.value) for one in then_group.get_measurements()] == [("Volume", 1000.0)]
        groups = [
            *report.content.get_volumetric_roi_measurement_groups()
        ] or report.content.get_image_measurement_groups()
        assert then_group.tracking_uid == groups[0].tracking_uid, "both are of one thing"
        assert "34 days before" in str(then_group)
        assert report.StudyInstanceUID == slices[0].StudyInstanceUID
        [other] = report.PertinentOtherEvidenceSequence
        assert other.StudyInstanceUID == "1.2.840.1"
        [item] = other.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert item.ReferencedSOPInstanceUID == "1.2.840.3"


def test_a_stage_that_counts_for_a_diagnosis_has_no_banner() -> None:
    for data in written(source(), outline("")).values():
        assert "not for diagnostic use" not in str(pydicom.dcmread(BytesIO(data)))


def test_the_picture_has_the_banner_and_the_outline_burned_in() -> None:
    slices = source()
    with_banner = pydicom.dcmread(BytesIO(write_capture(slices, marked(), outline()))).pixel_array
    without = pydicom.dcmread(BytesIO(write_capture(slices, marked(), outline("")))).pixel_array
    band = with_banner.shape[0] - without.shape[0]
    assert band > 20
    red = with_banner[:band].astype(int)
    assert ((red[..., 0] > 200) & (red[..., 1] < 150)).sum() > 100
    yellow = (without[..., 0] == 255) & (without[..., 2] == 0)
    rows, columns = np.nonzero(yellow)
    times = without.shape[1] // 16
    assert (rows.min(), columns.min(), columns.max()) == (4 * times, 5 * times, 12 * times - 1)
    assert not (
        (lambda a: (a[..., 0] == 255) & (a[..., 2] == 0))(
            pydicom.dcmread(BytesIO(write_capture(slices, None, outline()))).pixel_array
        )
    ).any()


def test_the_key_slice_has_most_of_it() -> None:
    assert key_slice(marked(), 4) == 2
    assert key_slice(None, 5) == key_slice(np.zeros((5, 2, 2), dtype=bool), 5) == 2


@settings(max_examples=60)
@given(arrays(bool, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))))
def test_the_longest_diameter_is_that_of_the_largest_part(mask: np.ndarray) -> None:
    spacing = (3.0, 0.7, 0.9)
    labelled, count = label(mask, structure=np.ones((3, 3, 3)))
    expected = 0.0
    if count:
        part = np.argwhere(labelled == np.argmax(np.bincount(labelled.ravel())[1:]) + 1) * np.array(spacing)
        expected = float(pdist(part).max()) if len(part) > 1 else 0.0
    assert longest_diameter_mm(mask, spacing) == pytest.approx(expected)
    assert volume_mm3(mask, spacing) == pytest.approx(mask.sum() * 1.89)


def test_the_longest_diameter_of_what_is_large_or_flat() -> None:
    z, y, x = np.ogrid[:40, :200, :200]
    ball = ((z - 20) / 15) ** 2 + ((y - 100) / 90) ** 2 + ((x - 100) / 90) ** 2 <= 1
    assert longest_diameter_mm(ball, (2.0, 1.0, 1.0)) == pytest.approx(180, abs=0.5)
    flat = np.zeros((2, 2000, 2000), dtype=bool)
    flat[1] = (np.ogrid[:2000, :1][0] - 1000) ** 2 + (np.arange(2000) - 1000) ** 2 <= 900**2
    assert longest_diameter_mm(flat, (5.0, 1.0, 1.0)) == pytest.approx(1800)
