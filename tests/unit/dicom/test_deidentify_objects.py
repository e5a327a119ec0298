"""De-identifying whole objects: what stays, what links, what is refused, and what damage does."""

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from wardround.demo.identities import Canaries
from wardround.demo.patients import StudyInstances, to_dicom
from wardround.demo.phantoms import hospitals
from wardround.dicom.confidentiality import Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.errors import Reason, Refused
from wardround.dicom.header_meta import file_meta
from wardround.dicom.segmentation import read_segmentation
from wardround.dicom.volume import read_volume

SECRET = b"a secret of the unit tests"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT, BIG, DEFLATED = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
CANARIES = Canaries()
HOSPITAL = hospitals(2, seed=5, patients=2, slices=3, matrix=16, canaries=CANARIES)[0]
PATIENT = HOSPITAL.patient(HOSPITAL.keys[0])
STUDY: StudyInstances = to_dicom(PATIENT)
DEIDENTIFIER = Deidentifier(Profile.research(), SECRET)


def loaded(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def changed(**values: object) -> bytes:
    dataset = loaded(STUDY.slices[0])
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return written(dataset)


def refused(data: bytes) -> Reason:
    with pytest.raises(Refused) as refusal:
        DEIDENTIFIER.deidentify(data)
    return refusal.value.reason


def test_series_and_segmentation_end_in_one_study_with_references_that_hold() -> None:
    images = [DEIDENTIFIER.deidentify(part) for part in STUDY.slices]
    label = DEIDENTIFIER.deidentify(STUDY.segmentation)
    seg = loaded(label.data)

    assert {image.pseudonym for image in images} == {label.pseudonym}
    assert {image.study_uid for image in images} == {label.study_uid}
    (series,) = {image.series_uid for image in images}
    assert series != label.series_uid
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series
    referenced = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced == {image.sop_uid for image in images}
    assert seg.FrameOfReferenceUID == loaded(images[0].data).FrameOfReferenceUID
    assert seg.file_meta.MediaStorageSOPInstanceUID == seg.SOPInstanceUID == label.sop_uid
    mask = read_segmentation(label.data, read_volume([image.data for image in images]))
    assert np.array_equal(mask, PATIENT.mask)


def test_what_research_needs_is_still_there() -> None:
    before, after = loaded(STUDY.slices[0]), loaded(DEIDENTIFIER.deidentify(STUDY.slices[0]).data)
    for keyword in (
        "Modality", "PatientSex", "PatientAge", "Rows", "PixelSpacing", "ImagePositionPatient", "SliceThickness",
        "Manufacturer", "ManufacturerModelName", "MagneticFieldStrength", "BodyPartExamined", "InstanceNumber",
    ):  # fmt: skip
        assert after[keyword].value == before[keyword].value, keyword
    assert after.PixelData == before.PixelData
    assert after.StudyTime == before.StudyTime
    assert after.StudyDate != before.StudyDate
    assert after.PatientBirthDate == ""


def test_the_markers_say_how() -> None:
    after = loaded(DEIDENTIFIER.deidentify(STUDY.slices[0]).data)
    assert after.PatientIdentityRemoved == "YES"
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [(code.CodeValue, code.CodingSchemeDesignator) for code in after.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113107", "DCM"), ("113108", "DCM")]
    assert after.preamble == bytes(128)
    assert "SourceApplicationEntityTitle" not in after.file_meta


def test_the_basic_profile_alone_keeps_neither_dates_nor_age_nor_sex() -> None:
    after = loaded(Deidentifier(Profile.basic(), SECRET).deidentify(STUDY.slices[0]).data)
    assert after.StudyDate == "" and after.PatientSex == ""
    assert "PatientAge" not in after
    assert after.LongitudinalTemporalInformationModified == "REMOVED"
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == ["113100"]


def test_the_vault_gets_the_identity_and_the_statement_no_value() -> None:
    result = DEIDENTIFIER.deidentify(STUDY.slices[0])
    before = loaded(STUDY.slices[0])
    assert result.identity.patient_id == before.PatientID
    assert result.identity.sop_uid == before.SOPInstanceUID
    assert result.identity.birth_date == before.PatientBirthDate
    for text in (repr(result), repr(result.identity), repr(result.statement)):
        assert CANARIES.tag not in text and before.SOPInstanceUID not in text
    assert result.statement.counts["private"] > 0


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, BIG, DEFLATED])
def test_each_uncompressed_syntax_gives_the_same_object(transfer_syntax: str) -> None:
    dataset = loaded(STUDY.slices[0])
    dataset.remove_private_tags()
    buffer = DicomBytesIO()
    buffer.is_little_endian = transfer_syntax != BIG
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT
    if transfer_syntax == BIG:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    write_dataset(buffer, dataset)
    body = buffer.getvalue()
    if transfer_syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
    source = file_meta(MR, str(dataset.SOPInstanceUID), transfer_syntax) + body
    expected, result = DEIDENTIFIER.deidentify(STUDY.slices[0]), DEIDENTIFIER.deidentify(source)
    assert result.transfer_syntax_uid == (EXPLICIT if transfer_syntax == DEFLATED else transfer_syntax)
    there, here = loaded(expected.data), loaded(result.data)
    assert np.array_equal(there.pixel_array, here.pixel_array)
    del there.PixelData, here.PixelData
    assert here == there


def test_compressed_pixel_data_stay_byte_for_byte_and_their_comments_are_searched() -> None:
    dataset = loaded(STUDY.slices[0])
    dataset.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    after = loaded(DEIDENTIFIER.deidentify(written(dataset)).data)
    assert after.PixelData == dataset.PixelData
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    comment = b"\xff\xfe" + str(dataset.PatientName.family_name).encode() + b"\0"
    dataset.PixelData = pydicom.encaps.encapsulate([comment + bytes(len(comment) % 2)])
    dataset["PixelData"].is_undefined_length = True
    assert refused(written(dataset)) is Reason.TEXT_IN_PIXELS


def test_what_cannot_be_made_safe_is_refused_with_its_reason() -> None:
    pixels = loaded(STUDY.slices[0]).PixelData
    cases = {
        Reason.BURNED_IN: changed(BurnedInAnnotation="YES"),
        Reason.SCREEN_CAPTURE: changed(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]),
        Reason.ENCAPSULATED_DOCUMENT: changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1"),
        Reason.STRUCTURED_REPORT: changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33"),
        Reason.SOP_CLASS_UNKNOWN: changed(SOPClassUID="1.2.999.1"),
        Reason.PIXELS_NOT_SCREENED: changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1"),
        Reason.IDENTITY_MISSING: changed(PatientID=""),
        Reason.PIXEL_LENGTH: changed(PixelData=pixels + b"Harrowgate, Edith "),
        Reason.NOT_PART10: b"no DICOM" * 40,
        Reason.TRANSFER_SYNTAX: file_meta(MR, "1.2.3", "1.2.840.10008.1.2.4.100"),
        Reason.MALFORMED: STUDY.slices[0][:700],
    }
    assert {reason: refused(data) for reason, data in cases.items()} == {reason: reason for reason in cases}


def test_zeros_behind_the_data_set_are_dropped_and_anything_else_there_is_refused() -> None:
    expected = DEIDENTIFIER.deidentify(STUDY.slices[0]).data
    assert DEIDENTIFIER.deidentify(STUDY.slices[0] + bytes(5)).data == expected
    assert refused(STUDY.slices[0] + b"Jago") is Reason.MALFORMED


def test_an_overlay_inside_the_pixels_is_refused_and_one_beside_them_removed() -> None:
    dataset = loaded(STUDY.slices[0])
    dataset.add_new(0x60000010, "US", 16)
    dataset.add_new(0x60003000, "OW", b"SECRET" * 6)
    dataset.add_new(0x60000102, "US", 0)
    after = DEIDENTIFIER.deidentify(written(dataset)).data
    assert b"SECRET" not in after
    assert not [element for element in loaded(after) if element.tag.group == 0x6000]
    dataset.add_new(0x60000102, "US", 12)
    assert refused(written(dataset)) is Reason.OVERLAY_IN_PIXELS


def test_codes_of_the_hospital_lose_their_text_and_published_ones_keep_it() -> None:
    after = loaded(DEIDENTIFIER.deidentify(STUDY.slices[0]).data)
    assert after.AnatomicRegionSequence[0].CodeMeaning == "Head"
    dataset = loaded(STUDY.slices[0])
    dataset.AnatomicRegionSequence[0].CodingSchemeDesignator = "99OURS"
    dataset.AnatomicRegionSequence[0].CodeMeaning = "as agreed with ward 7"
    item = loaded(DEIDENTIFIER.deidentify(written(dataset)).data).AnatomicRegionSequence[0]
    assert (item.CodeValue, item.CodeMeaning) == ("REMOVED", "REMOVED")


@pytest.mark.parametrize(
    ("label", "kept"), [("Tumour", "Tumour"), ("Neoplasm", "Neoplasm"), ("done by E. Hale", "Segment 1")]
)
def test_a_segment_keeps_a_label_that_is_a_term(label: str, kept: str) -> None:
    dataset = loaded(STUDY.segmentation)
    dataset.SegmentSequence[0].SegmentLabel = label
    dataset.SegmentSequence[0].SegmentDescription = "drawn at home"
    after = loaded(DEIDENTIFIER.deidentify(written(dataset)).data)
    assert after.SegmentSequence[0].SegmentLabel == kept
    assert "SegmentDescription" not in after.SegmentSequence[0]
    assert after.ContentCreatorName == ""


def test_an_age_that_is_missing_comes_from_the_birth_date() -> None:
    data = changed(PatientAge="", PatientBirthDate="19500601", StudyDate="20200531")
    assert loaded(DEIDENTIFIER.deidentify(data).data).PatientAge == "069Y"
    assert loaded(DEIDENTIFIER.deidentify(changed(PatientAge="097Y")).data).PatientAge == "090Y"


def test_an_object_without_issuer_belongs_to_the_home_issuer() -> None:
    named, unnamed = changed(IssuerOfPatientID="OURS"), changed(IssuerOfPatientID="")
    at_home = Deidentifier(Profile.research(), SECRET, home_issuer="OURS")
    assert at_home.deidentify(named).pseudonym == at_home.deidentify(unnamed).pseudonym
    assert DEIDENTIFIER.deidentify(named).pseudonym != DEIDENTIFIER.deidentify(unnamed).pseudonym


def test_two_patients_share_nothing_and_intervals_of_one_are_kept() -> None:
    other = to_dicom(HOSPITAL.patient(HOSPITAL.keys[1])).slices[0]
    changed_id = loaded(other)
    changed_id.PatientID = "another patient"
    assert DEIDENTIFIER.deidentify(written(changed_id)).pseudonym != DEIDENTIFIER.deidentify(STUDY.slices[0]).pseudonym
    days = ["20200101", "20200301", "20210301"]
    shifted = [
        pydicom.valuerep.DA(loaded(DEIDENTIFIER.deidentify(changed(StudyDate=day)).data).StudyDate) for day in days
    ]
    assert [(second - first).days for first, second in pairwise(shifted)] == [60, 365]


def holds_nothing(data: bytes) -> bool:
    head = data[: data.rindex(b"\xe0\x7f\x10\x00")] if b"\xe0\x7f\x10\x00" in data else data
    return not any(canary in head for canary in CANARIES.values)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_object_is_cleaned_or_refused(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from([STUDY.slices[1], STUDY.segmentation]))
    broken = bytearray(source)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(132, len(source) - 1))
        broken[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(source))))
    try:
        result = DEIDENTIFIER.deidentify(bytes(broken[:cut]))
    except Refused:
        return
    assert holds_nothing(result.data)


SECRETS = ("Quellenberg^Ottoline", "QX-4711-0815", "1.2.999.4711.8", "19311223")
VALUES = st.sampled_from([b"", b"1", b"AXIAL", b"1.5\\2", b"20200101", *(text.encode() for text in SECRETS)])
TAGS = st.sampled_from(sorted(tag for tag in DicomDictionary if 0x0008 <= tag >> 16 < 0x7FE0))
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
KINDS = st.sampled_from(["LO", "SH", "CS", "PN", "UI", "DA", "DT", "TM", "DS", "IS", "UT", "UN", "OB", "US", "LT"])


Planted = list[tuple[int, str, "bytes | list[Planted]"]]


@st.composite
def items(draw: st.DrawFn, depth: int = 2) -> Planted:
    planted: Planted = []
    for tag in draw(st.lists(TAGS, max_size=6, unique=True)):
        kind = DicomDictionary[tag][0].split(" ")[0]
        if kind != "SQ":
            planted.append((tag, draw(st.one_of(st.just(kind), KINDS)), draw(VALUES)))
        elif depth:
            planted.append((tag, "SQ", draw(st.lists(items(depth - 1), max_size=2))))
    return planted


def encoded(planted: Planted) -> bytes:
    """Explicit VR Little Endian, in whatever state the values are."""
    parts = []
    for tag, vr, value in sorted(planted, key=lambda element: element[0]):
        body = value if isinstance(value, bytes) else b"".join(map(item, value))
        body += b"\0" * (len(body) % 2)
        length = struct.pack("<HL", 0, len(body)) if vr in LONG else struct.pack("<H", len(body))
        parts.append(struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode()) + length + body)
    return b"".join(parts)


def item(planted: Planted) -> bytes:
    body = encoded(planted)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([(0x00160029, "DS", SECRETS[2].encode()), (0x00200013, "IS", SECRETS[3].encode() + b"-1")])
@given(items())
def test_whatever_an_object_holds_it_is_cleaned_or_refused(planted: Planted) -> None:
    name, patient, uid, birth = (text.encode() for text in SECRETS)
    known: Planted = [
        (0x00080016, "UI", MR.encode()),
        (0x00080018, "UI", uid),
        (0x00100010, "PN", name),
        (0x00100020, "LO", patient),
        (0x00100030, "DA", birth),
        (0x0020000D, "UI", uid + b".1"),
        (0x0020000E, "UI", uid + b".2"),
    ]
    tags = {tag for tag, _, _ in known}
    dataset = encoded([*known, *(element for element in planted if element[0] not in tags)])
    try:
        result = DEIDENTIFIER.deidentify(file_meta(MR, SECRETS[2], EXPLICIT) + dataset)
    except Refused:
        return
    for secret in (*name.split(b"^"), patient, uid, birth):
        assert secret not in result.data
    assert loaded(result.data).PatientID == result.pseudonym
