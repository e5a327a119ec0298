"""The bounded reader of heads beside pydicom, and what it does with bytes that are no data set."""

from __future__ import annotations

import zlib
from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from wardround.dicom.errors import Refused
from wardround.dicom.header_prefix import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    INFLATED,
    LONGEST_VALUE,
    MOST_WINDOWS,
    WINDOW,
    ReadAt,
    read_prefix,
)

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE)
WANTED = (0x00080008, 0x00080060, 0x0008103E, 0x00101010, 0x00180050, 0x0020000D, 0x00280010, 0x00280030)


def reader(data: bytes) -> ReadAt:
    return lambda pos, length: data[pos : pos + length]


def encoded(ds: Dataset, syntax: str) -> bytes:
    out = pydicom.filebase.DicomBytesIO()
    out.is_implicit_VR = syntax == IMPLICIT_LITTLE
    out.is_little_endian = syntax != EXPLICIT_BIG
    write_dataset(out, ds)
    raw = out.getvalue()
    if syntax != DEFLATED_LITTLE:
        return raw
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(raw) + deflate.flush()


def sequence(depth: int, undefined: bool) -> Sequence:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.Modality = "XX"
    if depth:
        item.ReferencedImageSequence = sequence(depth - 1, undefined)
        item["ReferencedImageSequence"].is_undefined_length = undefined
    item.is_undefined_length_sequence_item = undefined
    return Sequence([item, Dataset()])


TEXT = st.text("ABC xyz019", min_size=1, max_size=20)


@st.composite
def heads(draw: st.DrawFn) -> Dataset:
    ds = Dataset()
    ds.ImageType = draw(st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "AXIAL"]), min_size=1, max_size=3))
    ds.Modality = draw(st.sampled_from(["MR", "CT", ""]))
    if draw(st.booleans()):
        undefined = draw(st.booleans())
        ds.ReferencedImageSequence = sequence(draw(st.integers(0, 3)), undefined)
        ds["ReferencedImageSequence"].is_undefined_length = undefined
    if draw(st.booleans()):
        ds.SeriesDescription = draw(TEXT)
    ds.add_new(0x00090010, "LO", "MAKER")
    ds.add_new(0x00091001, "OB", bytes(draw(st.sampled_from([0, 2, LONGEST_VALUE, WINDOW + 6]))))
    ds.PatientAge = draw(st.sampled_from(["034Y", "", None]))
    ds.SliceThickness = draw(st.sampled_from([1.5, None]))
    ds.StudyInstanceUID = "1.2.840.1"
    ds.Rows = draw(st.integers(0, 65535))
    ds.PixelSpacing = [0.5, 0.75]
    ds.add_new(0x7FE00010, "OW", bytes(16))
    return ds


@given(heads(), st.sampled_from(SYNTAXES))
def test_it_reads_what_pydicom_reads(ds: Dataset, syntax: str) -> None:
    data = encoded(ds, syntax)
    raw = zlib.decompress(data, -zlib.MAX_WBITS) if syntax == DEFLATED_LITTLE else data
    implicit, little = syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    theirs = pydicom.filereader.read_dataset(BytesIO(raw), implicit, little)
    ours = read_prefix(reader(data), syntax, WANTED)
    assert set(ours) == {tag for tag in WANTED if tag in theirs}
    for tag, (representation, value) in ours.items():
        element = theirs.get_item(tag)
        assert value == (element.value or b"")
        assert implicit or representation.decode() == element.VR


@given(heads(), st.sampled_from(SYNTAXES), st.data())
def test_what_is_cut_off_or_changed_is_read_in_part_or_refused(ds: Dataset, syntax: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(ds, syntax))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    for _ in range(data.draw(st.integers(0, 4))):
        if cut:
            cut[data.draw(st.integers(0, len(cut) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_prefix(reader(bytes(cut)), syntax, WANTED)
    except Refused as refused:
        assert refused.reason_code == "malformed"
    else:
        assert set(found) <= set(WANTED)
        assert all(len(value) <= LONGEST_VALUE for _, value in found.values())


@given(st.binary(max_size=200), st.sampled_from(SYNTAXES))
def test_any_bytes_are_read_or_refused(data: bytes, syntax: str) -> None:
    try:
        read_prefix(reader(data), syntax, WANTED)
    except Refused as refused:
        assert refused.reason_code == "malformed"


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
def test_pixels_are_never_asked_for(syntax: str) -> None:
    ds = Dataset()
    ds.Modality = "CT"
    ds.Rows = 5
    ds.add_new(0x7FE00010, "OW", bytes(8 * WINDOW))
    data, furthest = encoded(ds, syntax), 0

    def read_at(pos: int, length: int) -> bytes:
        nonlocal furthest
        furthest = max(furthest, pos + length)
        return data[pos : pos + length]

    assert set(read_prefix(read_at, syntax, [0x00080060, 0x00280010, 0x7FE00010])) == {0x00080060, 0x00280010}
    assert furthest <= 2 * WINDOW


def test_a_value_that_is_too_long_is_as_if_it_were_not_there() -> None:
    ds = Dataset()
    ds.add_new(0x0008103E, "UT", "x" * (LONGEST_VALUE + 2))
    ds.Rows = 5
    assert set(read_prefix(reader(encoded(ds, EXPLICIT_LITTLE)), EXPLICIT_LITTLE, WANTED)) == {0x00280010}


def test_the_work_is_bounded_whatever_the_bytes_say() -> None:
    asked = 0
    element = b"\x08\x00\x01\x00OB\0\0" + (WINDOW).to_bytes(4, "little")

    def endless(pos: int, length: int) -> bytes:
        nonlocal asked
        asked += 1
        return (element + bytes(length))[:length]

    with pytest.raises(Refused):
        read_prefix(endless, EXPLICIT_LITTLE, WANTED)
    assert asked <= MOST_WINDOWS


def test_a_small_object_that_inflates_without_end_is_read_to_a_limit() -> None:
    ds = Dataset()
    ds.Modality = "CT"
    raw = encoded(ds, EXPLICIT_LITTLE) + b"\x09\x00\x10\x00OB\0\0" + (1 << 30).to_bytes(4, "little") + bytes(20 << 20)
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data, read = deflate.compress(raw) + deflate.flush(), 0
    assert len(raw) > 10 * INFLATED

    def read_at(pos: int, length: int) -> bytes:
        nonlocal read
        read += length
        return data[pos : pos + length]

    assert set(read_prefix(read_at, DEFLATED_LITTLE, WANTED)) == {0x00080060}
    assert read <= len(data) + 2 * WINDOW
