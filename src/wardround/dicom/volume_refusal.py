"""Why a series gives no volume, and how its instances are opened."""

import io
from enum import StrEnum
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from wardround.dicom.damage import DAMAGE

Source = Path | bytes | Dataset


class VolumeReason(StrEnum):
    """Why a series was refused as a volume; stable codes, fit for counting and for display."""

    NO_INSTANCES = "no_instances"
    UNREADABLE = "unreadable"
    MULTI_FRAME = "multi_frame"
    MISSING_GEOMETRY = "missing_geometry"
    INVALID_GEOMETRY = "invalid_geometry"
    MIXED_SERIES = "mixed_series"
    MIXED_FRAME_OF_REFERENCE = "mixed_frame_of_reference"
    MIXED_ORIENTATION = "mixed_orientation"
    MIXED_SIZE = "mixed_size"
    MIXED_SPACING = "mixed_spacing"
    DUPLICATE_INSTANCE = "duplicate_instance"
    DUPLICATE_POSITION = "duplicate_position"
    UNEVEN_SPACING = "uneven_spacing"
    MISSING_SLICES = "missing_slices"
    SEVERAL_VOLUMES = "several_volumes"
    SHEARED = "sheared"
    COLOUR = "colour"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    TOO_LARGE = "too_large"


class VolumeRefused(ValueError):
    """A series that cannot be read as one regular volume. The text carries no identifier and no path."""

    def __init__(self, reason_code: VolumeReason, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code


def open_instance(source: Source, *, later: int | None = None) -> Dataset:
    """The dataset of one instance; raises VolumeRefused (unreadable) for what is not DICOM.

    later: values of a file that are longer than so many bytes are read when they are first asked for.
    """
    if isinstance(source, Dataset):
        return source
    try:
        if later is not None and isinstance(source, Path):
            ds = pydicom.dcmread(source, defer_size=later)
            # A place in what is deflated is none in the file.
            if not ds.file_meta.TransferSyntaxUID.is_deflated:
                return ds
        return pydicom.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source)
    except DAMAGE as damage:
        raise VolumeRefused(
            VolumeReason.UNREADABLE,
            "an instance cannot be read as DICOM Part 10; ask the sender to send the series again",
        ) from damage
