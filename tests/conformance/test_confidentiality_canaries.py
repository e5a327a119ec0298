"""PS3.15 Annex E: nothing that Table E.1-1 protects survives, wherever it hides, and the result is valid DICOM."""

import io
import json
import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import DicomDictionary, RepeatersDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from wardround.demo.identities import Canaries
from wardround.demo.patients import StudyInstances, to_dicom
from wardround.demo.phantoms import hospitals
from wardround.dicom.confidentiality import Profile, confidentiality_table
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.errors import Reason, Refused

SECRET = b"a secret of the conformance tests"
CANARY = b"KANARIENVOGEL"
CANARY_UID = b"1.2.999.31337.4711"
CANARY_DATE = b"19311223"
REFERENCE = (
    Path(__file__).parents[2].parent / "shared/reference/dicom-confidentiality/confidentiality_profile_attributes.json"
)
VALIDATOR = Path("/usr/bin/dciodvfy")
BINARY = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
NUMBERS = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4}


@pytest.fixture(scope="module")
def study() -> StudyInstances:
    hospital = hospitals(2, seed=5, patients=1, slices=3, matrix=16, canaries=Canaries())[0]
    return to_dicom(hospital.patient(hospital.keys[0]))


@pytest.fixture(scope="module")
def deidentifier() -> Deidentifier:
    return Deidentifier(Profile.research(), SECRET)


def raw(tag: int, vr: str, value: bytes) -> RawDataElement:
    value += (b" " if vr not in BINARY | {"UI"} else b"\0") * (len(value) % 2)
    return RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)


def canary_for(vr: str) -> bytes | None:
    if vr == "UI":
        return CANARY_UID
    if vr == "DA":
        return CANARY_DATE
    if vr == "DT":
        return CANARY_DATE + b"112233.5+0100"
    if vr in NUMBERS:
        return None
    if vr == "PN":
        return CANARY + b"^Given=" + CANARY + b"^I=" + CANARY + b"^P"
    return CANARY


def plant(into: Dataset, *, skip: frozenset[int] = frozenset()) -> int:
    """A canary in every attribute of the table; how many."""
    count = 0
    for pattern in confidentiality_table():
        if pattern == "private":
            continue
        tag = int(pattern.replace("x", "0"), 16)
        if tag in skip:
            continue
        vr = DicomDictionary[tag][0].split(" ")[0] if tag in DicomDictionary else "UN"
        count += 1
        if vr == "SQ":
            item = Dataset()
            item[0x00104000] = raw(0x00104000, "LT", CANARY)
            item[0x00081155] = raw(0x00081155, "UI", CANARY_UID)
            into[tag] = pydicom.DataElement(tag, "SQ", [item])
            continue
        value = canary_for(vr)
        if value is not None:
            into[tag] = raw(tag, vr, value)
    return count


def part10(dataset: Dataset, transfer_syntax: str, preamble: bytes) -> bytes:
    """Written without pydicom's checks, since the canaries break most of them."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = CANARY_UID.decode()
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = CANARY_UID.decode() + ".1"
    meta.ImplementationVersionName = CANARY.decode()
    meta.SourceApplicationEntityTitle = CANARY.decode()
    meta.SendingApplicationEntityTitle = CANARY.decode()
    meta.PrivateInformationCreatorUID = CANARY_UID.decode() + ".2"
    meta.PrivateInformation = CANARY + b"\0"
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = transfer_syntax == ImplicitVRLittleEndian
    buffer.write(preamble + b"DICM")
    write_file_meta_info(buffer, meta, enforce_standard=True)
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def hold_nothing(data: bytes) -> None:
    for canary in (CANARY, CANARY.lower(), CANARY_UID, CANARY_DATE, b"19311223112233"):
        assert canary not in data, canary


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_no_canary_of_the_whole_table_survives(
    study: StudyInstances, deidentifier: Deidentifier, transfer_syntax: str
) -> None:
    dataset = pydicom.dcmread(io.BytesIO(study.slices[0]))
    # The character set itself stays, or nothing could be read.
    skip = frozenset({0x00080005})
    assert plant(dataset, skip=skip) > 600
    inner, middle = Dataset(), Dataset()
    plant(inner, skip=skip)
    plant(middle, skip=skip)
    middle[0x00082220] = pydicom.DataElement(0x00082220, "SQ", [inner])
    for sequence in (0x00082218, 0x00189112, 0x00400260):
        assert f"{sequence:08x}" not in confidentiality_table()
        dataset[sequence] = pydicom.DataElement(sequence, "SQ", [middle])
    dataset[0x00091001] = raw(0x00091001, "LO", CANARY)
    dataset[0x00090010] = raw(0x00090010, "LO", b"SOMEONE 1.0")
    dataset[0x00080000] = raw(0x00080000, "UL", CANARY[:4])
    dataset[0x7FDF1010] = raw(0x7FDF1010, "OB", CANARY)

    result = deidentifier.deidentify(part10(dataset, transfer_syntax, CANARY + bytes(128 - len(CANARY))))

    hold_nothing(result.data)
    again = pydicom.dcmread(io.BytesIO(result.data))
    assert again.PatientIdentityRemoved == "YES"
    assert again.pixel_array.shape == (16, 16)
    assert result.identity.patient_id == CANARY.decode()


@pytest.mark.parametrize("tag", sorted({*RepeatersDictionary})[::7])
def test_repeating_groups_are_removed_in_every_group(
    study: StudyInstances, deidentifier: Deidentifier, tag: str
) -> None:
    dataset = pydicom.dcmread(io.BytesIO(study.slices[0]))
    for digits in ("00", "02", "1E"):
        number = int(tag.replace("xx", digits).replace("x", "0"), 16)
        if number & 0xFFFF == 0x0102 or number in DicomDictionary:
            pytest.skip("refused elsewhere, or no repeating attribute")
        dataset[number] = raw(number, "LO", CANARY)
    hold_nothing(deidentifier.deidentify(part10(dataset, ExplicitVRLittleEndian, bytes(128))).data)


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Kanarienvögel^Bjørn"),
        ("ISO_IR 144", "Соколова^Людмила"),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_in_every_representation_and_character_set_go(
    study: StudyInstances, deidentifier: Deidentifier, character_set: str, name: str
) -> None:
    dataset = pydicom.dcmread(io.BytesIO(study.slices[0]))
    dataset.remove_private_tags()
    for keyword in ("AnatomicRegionSequence", "RequestAttributesSequence", "SpecificCharacterSet"):
        if keyword in dataset:
            del dataset[keyword]
    for element in list(dataset):
        if element.VR in ("LO", "LT", "SH", "ST", "PN", "UT"):
            dataset[element.tag].value = ""
    dataset.SpecificCharacterSet = character_set.split("\\")
    dataset.PatientID = "4711-0815"
    dataset.PatientName = dataset.ReferringPhysicianName = name
    dataset.PatientComments = name.replace("^", " ")
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    result = deidentifier.deidentify(buffer.getvalue())
    encoded = pydicom.dcmread(io.BytesIO(buffer.getvalue())).PatientName.original_string
    for part in encoded.replace(b"=", b"^").split(b"^"):
        assert part not in result.data[: -2 * 16 * 16]
    assert result.identity.name == name


@pytest.mark.parametrize(
    "told",
    [
        "Aurora of HARROWGATE",
        "for lee",
        "for Jo",
        "box 4711-0815 ",
        "rev 47110815",
        "born 13.11.1937",
        "1937-11-13",
        "1.2.999.8.15",
    ],
)
@pytest.mark.parametrize("keyword", ["ManufacturerModelName", "SoftwareVersions", "SequenceName"])
def test_an_identity_in_an_attribute_that_is_kept_is_refused_without_telling_it(
    study: StudyInstances, deidentifier: Deidentifier, keyword: str, told: str
) -> None:
    dataset = pydicom.dcmread(io.BytesIO(study.slices[0]))
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Harrowgate-Lee^Jo Ann", "4711-0815", "19371113"
    dataset.SeriesInstanceUID = "1.2.999.8.15"
    setattr(dataset, keyword, told)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    if told == "for Jo":
        # Two letters can't be told from chance.
        deidentifier.deidentify(buffer.getvalue())
        return
    with pytest.raises(Refused) as refusal:
        deidentifier.deidentify(buffer.getvalue())
    assert refusal.value.reason is Reason.IDENTITY_REMAINS
    assert told.split()[-1].lower() not in str(refusal.value).lower()


@pytest.mark.skipif(not VALIDATOR.exists(), reason="dciodvfy (Debian: dicom3tools) isn't installed")
def test_what_dciodvfy_passed_it_still_passes(
    study: StudyInstances, deidentifier: Deidentifier, tmp_path: Path
) -> None:
    for number, source in enumerate((study.slices[0], study.segmentation)):
        assert not errors_of(source, tmp_path / f"in{number}.dcm")
        assert not errors_of(deidentifier.deidentify(source).data, tmp_path / f"out{number}.dcm")


def errors_of(data: bytes, path: Path) -> list[str]:
    path.write_bytes(data)
    done = subprocess.run([str(VALIDATOR), "-new", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table isn't beside the repository (../shared)")
def test_the_table_shipped_is_the_standards() -> None:
    shipped = confidentiality_table()
    reference = {
        row["id"] if "odd" not in row["id"] else "private": row
        for row in json.loads(REFERENCE.read_text(encoding="utf-8"))
    }
    assert shipped.keys() == reference.keys()
    for tag, row in reference.items():
        basic, *options = shipped[tag].split(" ")
        assert basic == row["basicProfile"].replace("*", ""), tag
        assert ("modified_dates:C" in options) == (row.get("rtnLongModifDatesOpt") == "C"), tag
        assert [o for o in options if o.startswith("patient:")] == [
            f"patient:{row[k]}" for k in ("rtnPatCharsOpt",) if k in row
        ]
        assert len(options) == sum(key.endswith("Opt") for key in row), tag
