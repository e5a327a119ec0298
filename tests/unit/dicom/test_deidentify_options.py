"""What each option of PS3.15 E.3 keeps, and what goes all the same: words, private elements, overlays, colours."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.front_door import studies

from wardround.dicom.confidentiality import Profile
from wardround.dicom.confidentiality_profile import Option
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.deidentify_colour import clean_colour_profile

SECRET = b"a secret of the options"
SOURCE = studies()[0].slices[0]


def through(dataset: Dataset, *options: Option, cap_ages: bool = True) -> Dataset:
    profile = Profile(Profile.research().options | frozenset(options), cap_ages=cap_ages)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return pydicom.dcmread(io.BytesIO(Deidentifier(profile, SECRET).deidentify(buffer.getvalue()).data))


def original(**values: object) -> Dataset:
    ds = pydicom.dcmread(io.BytesIO(SOURCE))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("told", "stays"),
    [
        ("CT chest abdomen pelvis - 55F Dr. Smith", "CT chest abdomen pelvis"),
        ("T1w axial 3 mm", "T1w axial 3 mm"),
        ("MRI brain for Harrowgate", "MRI brain for"),
        ("axial 0171-555 0199", "axial"),
        ("HEAD 19371113", "HEAD"),
        ("Quxzibar", ""),
    ],
)
def test_descriptions_keep_words_that_are_known_and_nothing_else(told: str, stays: str) -> None:
    ds = original(PatientName="Harrowgate^Edith", StudyDescription=told, SeriesDescription=told)
    kept = through(ds, Option.CLEAN_DESCRIPTORS)
    assert (str(kept.get("SeriesDescription") or ""), str(kept.get("StudyDescription") or "")) == (stays, stays)
    assert not through(ds).get("SeriesDescription"), "without the option nothing of it stays"


def test_a_word_that_is_the_patients_name_goes_wherever_it_stands() -> None:
    kept = through(original(PatientName="Chest^Anna", SeriesDescription="chest axial"), Option.CLEAN_DESCRIPTORS)
    assert kept.SeriesDescription == "axial"


def private(into: Dataset) -> None:
    """Listed and unlisted elements of one block, a listed one that holds no number, and a block that lies."""
    block = into.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0E, "FD", [0.0, 1.0, 0.0])
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    block.add_new(0x0D, "LO", "Harrowgate")
    other = into.private_block(0x0019, "SOMEONE ELSE", create=True)
    other.add_new(0x0C, "IS", "4711")
    parameters = into.private_block(0x0043, "GEMS_PARM_01", create=True)
    parameters.add_new(0x39, "LT", "1000\\Harrowgate")


def test_safe_private_elements_stay_at_every_depth_and_no_other() -> None:
    ds, inner = original(), Dataset()
    ds.remove_private_tags()
    private(ds)
    private(inner)
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "12738006", "SCT", "Brain"
    ds.AnatomicRegionSequence = [inner]
    kept = through(ds, Option.SAFE_PRIVATE)
    for level in (kept, kept.AnatomicRegionSequence[0]):
        block = level.private_block(0x0019, "SIEMENS MR HEADER")
        assert (block[0x0C].value, block[0x0E].value) == (1000, [0.0, 1.0, 0.0])
        left = {element.tag for element in level if element.tag.is_private}
        assert left == {0x00190010, block.get_tag(0x0C), block.get_tag(0x0E)}
    assert not [element for element in through(ds).iterall() if element.tag.is_private]


def overlay(ds: Dataset, group: int, kind: str, extra: bytes = b"") -> None:
    ds.add_new(group << 16 | 0x0010, "US", 16)
    ds.add_new(group << 16 | 0x0011, "US", 16)
    ds.add_new(group << 16 | 0x0040, "CS", kind)
    ds.add_new(group << 16 | 0x0050, "SS", [1, 1])
    ds.add_new(group << 16 | 0x0022, "LO", "drawn by Harrowgate")
    ds.add_new(group << 16 | 0x0100, "US", 1)
    ds.add_new(group << 16 | 0x0102, "US", 0)
    ds.add_new(group << 16 | 0x3000, "OW", bytes(32) + extra)


def test_an_overlay_that_is_a_region_stays_and_graphics_go() -> None:
    ds = original()
    overlay(ds, 0x6000, "R")
    overlay(ds, 0x6002, "G")
    overlay(ds, 0x6004, "R", b"Harrowgate^Edith")
    kept = through(ds, Option.CLEAN_GRAPHICS)
    assert {element.tag.group for element in kept if element.tag.group >> 8 == 0x60} == {0x6000}
    assert kept[0x60003000].value == bytes(32)
    assert "Harrowgate" not in str(kept.get(0x60000022))
    assert not [element for element in through(ds) if element.tag.group >> 8 == 0x60]


def colours(description: bytes, behind: bytes = b"") -> bytes:
    """An ICC profile (ICC.1:2022 7.2 and 7.3) of two tags: a description, and a tone curve."""
    text, curve = b"desc" + bytes(4) + description, b"curv" + bytes(4) + struct.pack(">L", 0)
    start = 128 + 4 + 2 * 12
    table = struct.pack(">L", 2)
    table += b"desc" + struct.pack(">LL", start, len(text))
    table += b"rTRC" + struct.pack(">LL", start + len(text), len(curve))
    body = table + text + curve + behind
    header = bytearray(128)
    struct.pack_into(">L", header, 0, 128 + len(body))
    header[12:24] = b"scnrRGB XYZ "
    header[24:36] = struct.pack(">6H", 1937, 11, 13, 8, 0, 0)
    header[36:40], header[48:52] = b"acsp", b"HARR"
    return bytes(header) + body


def test_a_colour_profile_keeps_its_curves_and_loses_its_words() -> None:
    cleaned = clean_colour_profile(colours(b"Edith Harrowgate's scope"))
    assert cleaned is not None
    assert b"Harrowgate" not in cleaned and b"HARR" not in cleaned and struct.pack(">H", 1937) not in cleaned
    assert b"curv" + bytes(8) in cleaned and cleaned[12:24] == b"scnrRGB XYZ "
    assert len(cleaned) == len(colours(b"Edith Harrowgate's scope"))


def test_bytes_that_belong_to_no_tag_of_a_colour_profile_go() -> None:
    cleaned = clean_colour_profile(colours(b"x" * 12, b"Harrowgate"))
    assert cleaned is not None and b"Harrowgate" not in cleaned
    assert clean_colour_profile(b"Harrowgate" * 20) is None
    assert clean_colour_profile(colours(b"x" * 12) + b"Harrowgate") is None


@pytest.mark.parametrize(
    ("age", "told"), [("089Y", "089Y"), ("090Y", "090Y"), ("104Y", "090Y"), ("999M", "999M"), ("91", None)]
)
def test_ages_above_89_are_told_as_90_at_every_depth(age: str, told: str | None) -> None:
    inner, ds = Dataset(), original()
    inner.PatientAge = ds.PatientAge = age
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "12738006", "SCT", "Brain"
    ds.AnatomicRegionSequence = [inner]
    kept = through(ds)
    assert kept.AnatomicRegionSequence[0].get("PatientAge") in ({told} if told else {"", None})
    if told:
        assert kept.PatientAge == told
    whole = through(ds, cap_ages=False)
    assert not told or (whole.PatientAge, whole.AnatomicRegionSequence[0].PatientAge) == (age, age)


@pytest.mark.parametrize(("born", "age"), [("19220630", "090Y"), ("19321231", "090Y"), ("19330301", "089Y")])
def test_an_age_that_comes_from_the_birth_date_is_capped_too(born: str, age: str) -> None:
    ds = original(PatientBirthDate=born, StudyDate="20230102")
    del ds.PatientAge
    kept = through(ds)
    assert kept.PatientAge == age and not kept.PatientBirthDate


def test_what_trails_the_data_set_goes() -> None:
    ds = original()
    ds.add_new(0xFFFCFFFC, "OB", b"Harrowgate^Edith")
    assert 0xFFFCFFFC not in through(ds)
