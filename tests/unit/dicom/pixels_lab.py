"""Pictures with and without text in them, and objects made of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import pydicom
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from wardround.demo.phantoms import hospitals
from wardround.dicom.statement import Identity

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"

WHO = Identity(
    patient_id="943 476 5919",
    issuer="NHS",
    name="HARRINGTON^OLIVIA^MAY",
    birth_date="19610312",
    accession_number="RX8841207",
    study_uid="2.25.1",
    series_uid="2.25.2",
    sop_uid="2.25.3",
)


@dataclass(frozen=True)
class Print:
    """Text as a scanner prints it: size in pixels, where, how bright, and turned by how many quarters."""

    text: str
    size: int
    where: str = "top left"
    grey: int = 255
    turn: int = 0


def burned(picture: np.ndarray, printed: Print) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(np.rot90(picture, -printed.turn)))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(printed.size)
    left, top, right, bottom = draw.textbbox((0, 0), printed.text, font=font)
    width, height = int(right - left), int(bottom - top)
    places = {
        "top left": (4, 4),
        "top right": (image.width - width - 5, 4),
        "bottom left": (4, image.height - height - 5),
        "bottom right": (image.width - width - 5, image.height - height - 5),
        "middle": ((image.width - width) // 2, (image.height - height) // 2),
    }
    x, y = places[printed.where]
    draw.text((x - left, y - top), printed.text, font=font, fill=printed.grey)
    return np.ascontiguousarray(np.rot90(np.asarray(image), printed.turn))


@cache
def head(hospital: int = 0, part: float = 0.5, size: int = 320) -> np.ndarray:
    """An axial slice of an invented head."""
    site = hospitals(4, patients=1)[hospital]
    image = site.patient(site.keys[0]).image
    chosen = image[int(part * (len(image) - 1))]
    grey = Image.fromarray((230 * chosen / image.max()).astype(np.uint8))
    return np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC))


@cache
def fan(seed: int = 1, rows: int = 300, columns: int = 400) -> np.ndarray:
    """An ultrasound sector of speckle on black."""
    rng = np.random.default_rng(seed)
    echo = np.abs(rng.standard_normal((rows, columns)) + 1j * rng.standard_normal((rows, columns)))
    y, x = np.mgrid[:rows, :columns]
    sector = (np.hypot(y + 30, x - columns / 2) < rows * 0.9) & (np.abs(np.arctan2(x - columns / 2, y + 30)) < 0.55)
    image = Image.fromarray(np.clip(echo * 55 * sector, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1)))


@cache
def noise(seed: int = 2, size: int = 256) -> np.ndarray:
    return np.clip(70 + 20 * np.random.default_rng(seed).standard_normal((size, size)), 0, 255).astype(np.uint8)


@cache
def bright(size: int = 300) -> np.ndarray:
    """A plain radiograph's light ground, shaded."""
    y, x = np.mgrid[:size, :size]
    return (200 + 30 * np.sin(x / 90) * np.cos(y / 70)).astype(np.uint8)


def stored(pixels: np.ndarray, *, sop_class: str = SECONDARY_CAPTURE, **attributes: object) -> bytes:
    """An object of a picture: (rows, columns), (frames, rows, columns) or, with three samples, one axis more."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = WHO.sop_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = WHO.study_uid, WHO.series_uid
    ds.PatientName, ds.PatientID = WHO.name, WHO.patient_id
    ds.Modality = "OT"
    coloured = pixels.shape[-1] == 3
    shape = pixels.shape[:-1] if coloured else pixels.shape
    if len(shape) == 3:
        ds.NumberOfFrames = shape[0]
    ds.Rows, ds.Columns = shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if coloured else (1, "MONOCHROME2")
    if coloured:
        ds.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, 0
    ds.PixelData = np.ascontiguousarray(pixels).tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()
