"""Boxes are made black in every kind of pixel data, and nothing outside of them changes."""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from wardround.demo.patients import mr_slices
from wardround.demo.phantoms import hospitals
from wardround.dicom.errors import Refused
from wardround.dicom.pixels_boxes import Box, outside
from wardround.dicom.pixels_redaction import redact

DCIODVFY = shutil.which("dciodvfy")
SHAPE = (40, 48)
BOX = Box(3, 5, 4, 7)


@dataclass(frozen=True)
class Kind:
    """One way to store a picture: what its header says, and numbers for it."""

    bits: int = 8
    stored: int = 8
    signed: int = 0
    samples: int = 1
    planar: int = 0
    photometric: str = "MONOCHROME2"
    frames: int = 1


KINDS = {
    "grey": Kind(),
    "inverse": Kind(photometric="MONOCHROME1"),
    "12 of 16 bits": Kind(16, 12),
    "signed": Kind(16, 16, 1),
    "12 signed bits": Kind(16, 12, 1),
    "32 bits": Kind(32, 32),
    "colour": Kind(samples=3, photometric="RGB"),
    "colour by plane": Kind(samples=3, planar=1, photometric="RGB"),
    "luminance": Kind(samples=3, photometric="YBR_FULL"),
    "palette": Kind(photometric="PALETTE COLOR"),
    "frames": Kind(frames=3),
    "frames of colour by plane": Kind(samples=3, planar=1, photometric="RGB", frames=2),
}


def picture(kind: Kind) -> np.ndarray:
    rng = np.random.default_rng(7)
    low, high = (-(2 ** (kind.stored - 1)), 2 ** (kind.stored - 1)) if kind.signed else (1, 2 ** min(kind.stored, 31))
    colours = () if kind.samples == 1 else (kind.samples,)
    letter = "i" if kind.signed else "u"
    return rng.integers(low, high, (kind.frames, *SHAPE, *colours)).astype(f"{letter}{kind.bits // 8}")


def stored(kind: Kind, pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "2.25.1"
    ds.PatientID = "PSEUDONYM"
    ds.Rows, ds.Columns = SHAPE
    ds.SamplesPerPixel, ds.PhotometricInterpretation = kind.samples, kind.photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = kind.bits, kind.stored, kind.stored - 1
    ds.PixelRepresentation = kind.signed
    if kind.frames > 1:
        ds.NumberOfFrames = kind.frames
    if kind.samples > 1:
        ds.PlanarConfiguration = kind.planar
    if kind.photometric == "PALETTE COLOR":
        light = (np.arange(256)[::-1] * 256).astype("<u2")
        for colour in ("Red", "Green", "Blue"):
            setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(ds, f"{colour}PaletteColorLookupTableData", light.tobytes())
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    laid = np.moveaxis(pixels, -1, 1) if kind.planar else pixels
    data = np.ascontiguousarray(laid).astype(laid.dtype.newbyteorder(order)).tobytes()
    if syntax == ExplicitVRBigEndian and kind.bits == 8:
        data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
    ds.PixelData = data
    ds["PixelData"].VR = "OW" if kind.bits > 8 or syntax in (ExplicitVRBigEndian, ImplicitVRLittleEndian) else "OB"
    out = io.BytesIO()
    pydicom.dcmwrite(
        out,
        ds,
        enforce_file_format=True,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )
    return out.getvalue()


def read(part10: bytes) -> tuple[Dataset, np.ndarray]:
    ds = pydicom.dcmread(io.BytesIO(part10))
    frames = int(ds.get("NumberOfFrames", 1))
    array = pydicom.pixels.pixel_array(ds, raw=True)
    return ds, array if frames > 1 else array[None]


def where(frames: int, frame: int | None = None) -> np.ndarray:
    mask = np.zeros((frames, *SHAPE), bool)
    mask[slice(None) if frame is None else frame - 1, BOX.rows, BOX.columns] = True
    return mask


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("name", KINDS)
def test_a_box_is_black_and_all_else_stays(name: str, syntax: str) -> None:
    kind = KINDS[name]
    pixels = picture(kind)
    ds, after = read(redact(stored(kind, pixels, syntax), [BOX]))
    mask = where(kind.frames)
    assert (after[~mask] == pixels[~mask]).all()
    black = {"MONOCHROME1": pixels.max(), "PALETTE COLOR": 255, "RGB": 0}.get(kind.photometric, pixels.min())
    if kind.photometric == "YBR_FULL":
        assert (after[mask] == (0, 128, 128)).all()
    else:
        assert (after[mask] == black).all()
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.BurnedInAnnotation == "NO"


def test_a_box_of_one_frame_leaves_the_others() -> None:
    kind = KINDS["frames"]
    pixels = picture(kind)
    _, after = read(redact(stored(kind, pixels), [Box(3, 5, 4, 7, frame=2)]))
    mask = where(3, 2)
    assert (after[~mask] == pixels[~mask]).all()
    assert (after[mask] == pixels.min()).all()


def test_halved_colours_go_in_pairs() -> None:
    """YBR_FULL_422: Y, Y, CB, CR for two pixels."""
    pairs = np.random.default_rng(3).integers(20, 250, (1, SHAPE[0], SHAPE[1] // 2, 4)).astype("u1")
    kind = Kind(samples=3, photometric="YBR_FULL_422")
    part10 = stored(kind, np.zeros((1, *SHAPE, 3), "u1"))
    ds = pydicom.dcmread(io.BytesIO(part10))
    ds.PixelData = pairs.tobytes()
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    after = np.frombuffer(pydicom.dcmread(io.BytesIO(redact(out.getvalue(), [BOX]))).PixelData, "u1")
    after = after.reshape(pairs.shape)
    inside = np.zeros(pairs.shape[:3], bool)
    inside[0, 3:7, 2:6] = True
    assert (after[inside] == (0, 0, 128, 128)).all()
    assert (after[~inside] == pairs[~inside]).all()


def test_single_bits_are_packed_again() -> None:
    bits = np.random.default_rng(4).integers(0, 2, (2, 5, 7)).astype("u1")
    part10 = stored(Kind(frames=2), np.zeros((2, *SHAPE), "u1"))
    ds = pydicom.dcmread(io.BytesIO(part10))
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 5, 7, 1, 1, 0
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    after = pydicom.dcmread(io.BytesIO(redact(out.getvalue(), [Box(1, 1, 2, 3, frame=2)]))).pixel_array
    expected = bits.copy()
    expected[1, 1:3, 1:4] = 0
    assert (after == expected).all()


def compressed_by(syntax: str, kind: Kind, pixels: np.ndarray) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(stored(kind, pixels)))
    if syntax == JPEG2000Lossless:  # pydicom's own way asks for one more package
        streams = [encode_array(frame, photometric_interpretation=1 if kind.samples > 1 else 2) for frame in pixels]
        ds.PixelData = encapsulate(streams)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = syntax
    else:
        ds.compress(syntax)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("name", ["grey", "12 of 16 bits", "frames", "colour"])
def test_compressed_pixels_are_decoded_once_and_stay_as_they_were_outside(name: str, syntax: str) -> None:
    kind = KINDS[name]
    pixels = picture(kind)
    part10 = compressed_by(syntax, kind, pixels)
    changed, after = read(redact(part10, [BOX]))
    after = after.reshape(pixels.shape)
    mask = where(kind.frames)
    assert (after[~mask] == pixels[~mask]).all()
    assert len(np.unique(after[mask])) == 1
    assert changed.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert "LossyImageCompression" not in changed


def test_lossy_compression_is_told_of_afterwards() -> None:
    pixels = picture(Kind())
    ds = pydicom.dcmread(io.BytesIO(stored(Kind(), pixels)))
    ds.compress(JPEGLSNearLossless, jls_error=2)
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in ds:
            delattr(ds, keyword)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    changed, _ = read(redact(out.getvalue(), [BOX]))
    assert changed.LossyImageCompression == "01"
    assert changed.LossyImageCompressionMethod == "ISO_14495_1"
    assert float(changed.LossyImageCompressionRatio) >= 1


def test_no_box_no_change() -> None:
    part10 = stored(Kind(), picture(Kind()))
    assert redact(part10, []) is part10


def test_what_was_done_is_said_once() -> None:
    part10 = redact(redact(stored(Kind(), picture(Kind())), [BOX]), [BOX, Box(0, 0, 1, 1)])
    ds = pydicom.dcmread(io.BytesIO(part10))
    assert [item.CodeValue for item in ds.DeidentificationMethodCodeSequence] == ["113101"]
    assert ds.DeidentificationMethod == "Clean Pixel Data Option"
    assert "1 area set to black; " in ds.DerivationDescription


def test_a_box_beyond_the_picture_is_an_error_and_a_part_beyond_is_not() -> None:
    part10 = stored(Kind(), picture(Kind()))
    for box in (Box(40, 0, 1, 1), Box(0, 48, 1, 1), Box(0, 0, 1, 1, frame=2)):
        with pytest.raises(ValueError, match="outside of the picture"):
            redact(part10, [box])
    _, after = read(redact(part10, [Box(38, 46, 9, 9)]))
    assert len(np.unique(after[0, 38:, 46:])) == 1


def test_damaged_pixels_are_refused() -> None:
    ds = pydicom.dcmread(io.BytesIO(stored(Kind(), picture(Kind()))))
    ds.PixelData = ds.PixelData[:100]
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    with pytest.raises(Refused):
        redact(out.getvalue(), [BOX])


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy (Debian: dicom3tools) isn't installed")
def test_a_sound_object_stays_sound(tmp_path: Path) -> None:
    hospital = hospitals(2, patients=1, slices=3, matrix=32)[0]
    part10 = mr_slices(hospital.patient(hospital.keys[0]))[1]

    def complaints(data: bytes) -> set[str]:
        file = tmp_path / "object.dcm"
        file.write_bytes(data)
        done = subprocess.run([str(DCIODVFY), "-new", str(file)], capture_output=True, text=True, check=False)
        return {line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))}

    assert complaints(redact(part10, [BOX])) <= complaints(part10)


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_all_but_a_kept_area_is_covered_once(rows: int, columns: int, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    kept = Box(row, column, data.draw(st.integers(1, rows + 3)), data.draw(st.integers(1, columns + 3)))
    count = np.zeros((rows, columns), int)
    for box in outside(kept, rows, columns):
        count[box.rows, box.columns] += 1
    expected = np.ones((rows, columns), int)
    expected[kept.rows, kept.columns] = 0
    assert (count == expected).all()
