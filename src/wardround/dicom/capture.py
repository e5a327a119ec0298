"""One picture of what a model found, for whoever's viewer shows nothing else: a Secondary Capture (PS3.3 A.8.1)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from wardround.dicom.edge import edge_of
from wardround.dicom.finding import Finding
from wardround.dicom.result_object import part10
from wardround.dicom.source_header import header_of, led, made_uid
from wardround.dicom.source_series import SourceSeries
from wardround.dicom.volume_refusal import Source

SERIES_NUMBER = 9003
WIDTH = 512
"""Of the picture in pixels, at least; small images are enlarged by a whole number."""
_LINE, _MARGIN = 26, 8
_OUTLINE, _BAND, _TEXT, _WARNING = (255, 200, 0), (0, 0, 0), (235, 235, 235), (255, 96, 96)
_PERCENTILES = (1.0, 99.0)


def write_capture(
    source_instances: Sequence[Source] | SourceSeries,
    mask: NDArray[np.bool_] | None,
    finding: Finding,
    *,
    sop_instance_uid: str | None = None,
) -> bytes:
    """One Part 10 object (Explicit VR Little Endian), 8-bit RGB: the slice with most of what was marked, its outline
    drawn in, above it the stage's banner, below it what was found and by which model. No identifier is in the pixels.

    Args:
        mask: bool (Z, Y, X) on the grid of the source; None, or empty, shows the middle slice.

    Raises:
        VolumeRefused: the source is no regular series.
    """
    image, marked, header = key_image(SourceSeries.of(source_instances), mask)
    picture, by = _picture(image, marked, finding), finding.made_by
    with warnings.catch_warnings():
        # highdicom's warnings quote person names, which must not reach a log.
        warnings.simplefilter("ignore")
        written = hd.sc.SCImage.from_ref_dataset(
            ref_dataset=header,
            pixel_array=picture,
            photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
            bits_allocated=8,
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            series_instance_uid=made_uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=sop_instance_uid or made_uid(),
            instance_number=1,
            manufacturer=by.manufacturer[:64],
            patient_orientation=_orientation(header.ImageOrientationPatient),
            series_description=led(finding.banner, f"{finding.of.capitalize()}, key image"),
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
    written.BurnedInAnnotation = "NO"
    written.Laterality = str(header.get("Laterality", "") or "")
    written.ImageComments = led(finding.banner, finding.words)
    written.SecondaryCaptureDeviceManufacturer = by.manufacturer[:64]
    written.SecondaryCaptureDeviceManufacturerModelName = by.name[:64]
    written.SecondaryCaptureDeviceSoftwareVersions = by.version[:64]
    return part10(written, finding.at)


def key_slice(mask: NDArray[np.bool_] | None, slices: int) -> int:
    """The slice with most of what was marked; the middle one where nothing was."""
    if mask is None or not mask.any():
        return slices // 2
    return int(np.argmax(np.count_nonzero(mask, axis=(1, 2))))


def key_image(
    series: SourceSeries, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, Dataset]:
    """The slice of a series to show: its values (rows, columns), what of it was marked, and its header for a result."""
    image = series.volume.array
    shown = key_slice(mask, image.shape[0])
    return image[shown], None if mask is None else mask[shown], header_of(series.datasets[shown])


def _orientation(cosines: Sequence[float]) -> tuple[str, str]:
    """Where rows and columns go, to the nearest (PS3.3 C.7.6.1.1.1), of Image Orientation (Patient)."""
    named = []
    for direction in (cosines[:3], cosines[3:]):
        axis = int(np.argmax(np.abs(np.asarray(direction, np.float64))))
        named.append(("LR", "PA", "HF")[axis][int(direction[axis] < 0)])
    return named[0], named[1]


def outlined(image: NDArray[np.float32], marked: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """A slice in grey, enlarged, with the outline of what is marked drawn in.

    Args:
        image, marked: (Y, X).

    Returns:
        RGB of (rows, columns, 3), at least `WIDTH` columns.
    """
    low, high = np.percentile(image, _PERCENTILES)
    grey = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * 255
    times = max(1, -(-WIDTH // image.shape[1]))
    large = np.kron(grey, np.ones((times, times))).astype(np.uint8)
    rgb = np.repeat(large[:, :, None], 3, axis=2)
    if marked is not None:
        rgb[edge_of(np.kron(marked, np.ones((times, times), dtype=bool)))] = _OUTLINE
    return rgb


def _picture(image: NDArray[np.float32], marked: NDArray[np.bool_] | None, finding: Finding) -> NDArray[np.uint8]:
    rgb = outlined(image, marked)
    by = finding.made_by
    above = [(finding.banner, _WARNING)] if finding.banner else []
    below = [(finding.words, _TEXT), (f"{by.name} {by.version} ({by.digest[:12]})", _TEXT)]
    top = _LINE * len(above) + _MARGIN * bool(above)
    canvas = Image.new("RGB", (rgb.shape[1], top + rgb.shape[0] + _LINE * len(below) + _MARGIN), _BAND)
    canvas.paste(Image.fromarray(rgb), (0, top))
    draw = ImageDraw.Draw(canvas)
    for number, (text, colour) in enumerate([*above, *below]):
        y = _MARGIN // 2 + _LINE * number + (rgb.shape[0] + _MARGIN // 2 if number >= len(above) else 0)
        draw.text((_MARGIN, y), text, fill=colour, font=_font(draw, text, rgb.shape[1] - 2 * _MARGIN))
    return np.asarray(canvas, np.uint8)


def _font(draw: ImageDraw.ImageDraw, text: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest size in which the text fits on one line."""
    for size in range(18, 8, -1):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            return font
    return ImageFont.load_default(8)
