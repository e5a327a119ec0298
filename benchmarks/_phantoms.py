"""Studies for the clinic's benchmarks: a CT of a body with a lesion, an MR of a head, and what else a hospital sends.

Each kind is made once; another study of it is the same bytes with other identifiers and, of a CT or MR, another slope
of its values, so that making one costs no more than writing it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
US = "1.2.840.10008.5.1.4.1.1.6.1"
XRAY = "1.2.840.10008.5.1.4.1.1.1.1"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT_SLICES = 324
_NUMBER, _SLOPE = "100000000", "1.00000 "
_ROOT = f"1.2.826.0.1.3680043.8.498.{_NUMBER}"


@dataclass(frozen=True)
class Kind:
    """One kind of study: its objects as Part 10 bytes, and whether a pathway reads it."""

    name: str
    objects: Sequence[bytes]
    read: bool

    @property
    def megabytes(self) -> float:
        return sum(map(len, self.objects)) / 1e6

    def write(self, folder: Path, number: int) -> str:
        """Write study `number` into a new folder; returns its Study Instance UID."""
        folder.mkdir(parents=True)
        named, slope = str(100_000_000 + number).encode(), f"{1 + (number * 37 % 100 - 50) / 5000:<8.5f}".encode()
        for place, made in enumerate(self.objects):
            head, pixels = made[:8192], memoryview(made)[8192:]
            with (folder / f"{place:04}.dcm").open("wb") as file:
                file.write(head.replace(_NUMBER.encode(), named).replace(_SLOPE.encode(), slope))
                file.write(pixels)
        return study_uid(number)


def study_uid(number: int) -> str:
    return f"{_ROOT.replace(_NUMBER, str(100_000_000 + number))}.0"


def ct_volume() -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """A body with a lesion, in HU (324, 512, 512), and where the lesion is."""
    noise = np.random.default_rng(6)
    z, y, x = np.ogrid[:CT_SLICES, :512, :512]
    inside = ((y - 256) / 170.0) ** 2 + ((x - 256) / 220.0) ** 2 < 1
    lesion = ((z - 160) / 24.0) ** 2 + ((y - 220) / 30.0) ** 2 + ((x - 330) / 34.0) ** 2 < 1
    body = np.where(inside[0], 40, -1000).astype(np.int16)
    grain = noise.normal(0, 12, (CT_SLICES // 6, 512, 512)).astype(np.int16)
    values = np.tile(grain + body, (6, 1, 1))
    values[lesion] += 160
    return values, lesion


def ct_kind(values: NDArray[np.int16]) -> Kind:
    stored = (values + 1024).astype(np.uint16)
    made = []
    for place, plane in enumerate(stored):
        ds = _image(CT, "CT", place, plane, bits=12)
        ds.BodyPartExamined, ds.KVP, ds.ConvolutionKernel = "CHEST", "120", "B30f"
        ds.SliceThickness, ds.PixelSpacing = "1.0", ["0.703125", "0.703125"]
        ds.ImagePositionPatient, ds.ImageOrientationPatient = _upright(f"{place:.1f}")
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", _SLOPE, "HU"
        made.append(_part10(ds))
    return Kind("CT", made, read=True)


def mr_kind(slices: int = 128) -> Kind:
    """A head in an axial FLAIR series."""
    noise = np.random.default_rng(7)
    z, y, x = np.ogrid[:slices, :256, :256]
    head = ((z - slices / 2) / (0.6 * slices)) ** 2 + ((y - 128) / 105.0) ** 2 + ((x - 128) / 85.0) ** 2 < 1
    values = np.where(head, 400, 20) + noise.normal(0, 15, (slices, 256, 256))
    made = []
    for place, plane in enumerate(np.clip(values, 0, 4095).astype(np.uint16)):
        ds = _image(MR, "MR", place, plane, bits=12)
        ds.BodyPartExamined, ds.SeriesDescription = "BRAIN", "ax flair"
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "SK", "", "2D"
        ds.EchoTime, ds.EchoTrainLength, ds.RepetitionTime = "90", "1", "9000"
        ds.SliceThickness, ds.PixelSpacing = "1.2", ["0.9", "0.9"]
        ds.ImagePositionPatient, ds.ImageOrientationPatient = _upright(f"{1.2 * place:.1f}")
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", _SLOPE, "US"
        made.append(_part10(ds))
    return Kind("MR", made, read=True)


def plain_kind(name: str, sop_class: str, images: int, shape: tuple[int, int], samples: int = 1) -> Kind:
    """A study that no pathway reads: ultrasound, X-rays, captures."""
    noise = np.random.default_rng(8)
    full = shape if samples == 1 else (*shape, samples)
    made = []
    for place in range(images):
        pixels = noise.integers(0, 255, full, dtype=np.uint16 if samples == 1 else np.uint8)
        made.append(_part10(_image(sop_class, name, place, pixels, bits=12 if samples == 1 else 8)))
    return Kind(name, made, read=False)


def _image(sop_class: str, modality: str, place: int, pixels: NDArray[np.generic], *, bits: int) -> pydicom.Dataset:
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, f"{_ROOT}.2.{place}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = f"{_ROOT}.0", f"{_ROOT}.1", f"{_ROOT}.3"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20261130"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101530"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Aster^Willow", f"Q{_NUMBER}", "19610203"
    ds.PatientSex, ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "F", f"A{_NUMBER}", "", "1"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = modality, "BENCHMARK MEDICAL", "BENCH 64"
    ds.PatientPosition, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "HFS", "2", "1", str(place + 1)
    ds.SamplesPerPixel, ds.Rows, ds.Columns = 3 if pixels.ndim == 3 else 1, *pixels.shape[:2]
    ds.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * pixels.dtype.itemsize, bits, bits - 1
    ds.PixelRepresentation, ds.PixelData = 0, pixels.tobytes()
    return ds


def _upright(height: str) -> tuple[list[str], list[str]]:
    return ["-180", "-180", height], ["1", "0", "0", "0", "1", "0"]


def _part10(ds: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()
