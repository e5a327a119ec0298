"""A series of single-frame slices as one float volume in the patient's frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from wardround.dicom.volume_geometry import (
    DAMAGE,
    Source,
    VolumeGeometry,
    VolumeReason,
    VolumeRefused,
    order_slices,
)

__all__ = ["Volume", "VolumeGeometry", "VolumeReason", "VolumeRefused", "order_slices", "read_volume"]


@dataclass(frozen=True, slots=True)
class Volume:
    """One series on one regular grid.

    array: float32 (Z, Y, X) = (slices, rows, columns), after rescale slope and intercept; the unit is the
        modality's (arbitrary for MR).
    affine: float64 (4, 4), maps the array index (z, y, x, 1) to millimetres in the DICOM patient frame (LPS).
    spacing: millimetres along (z, y, x).
    sop_instance_uids: one per slice, in the order of the first axis of `array`.
    """

    array: NDArray[np.float32]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    sop_instance_uids: tuple[str, ...]
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        slices, rows, columns = self.array.shape
        return slices, rows, columns


def read_volume(instances: Sequence[Source]) -> Volume:
    """Reads one series (DICOM PS3.3 sections C.7.6.2 Image Plane and C.7.6.3 Image Pixel).

    instances: the slices as paths, Part 10 bytes or datasets, in any order; the instance numbers are ignored.
    Raises VolumeRefused where they are not one regular stack of single-frame greyscale slices.
    """
    datasets, geometry = order_slices(instances)
    array = np.empty(geometry.shape, dtype=np.float32)
    for index, ds in enumerate(datasets):
        _read_pixels(ds, array[index])
    first = datasets[0]
    return Volume(
        array=array,
        affine=geometry.affine,
        spacing=geometry.spacing,
        sop_instance_uids=tuple(str(ds.SOPInstanceUID) for ds in datasets),
        series_instance_uid=str(first.get("SeriesInstanceUID", "")),
        study_instance_uid=str(first.get("StudyInstanceUID", "")),
        frame_of_reference_uid=str(first.get("FrameOfReferenceUID", "")),
    )


def _read_pixels(ds: Dataset, into: NDArray[np.float32]) -> None:
    if ds.get("PhotometricInterpretation") != "MONOCHROME2" or ds.get("SamplesPerPixel", 1) != 1:
        raise VolumeRefused(
            VolumeReason.UNSUPPORTED_PIXELS, "a slice is not greyscale with black at zero (MONOCHROME2)"
        )
    if "ModalityLUTSequence" in ds:
        raise VolumeRefused(
            VolumeReason.UNSUPPORTED_PIXELS, "a slice uses a modality look-up table, which is not supported"
        )
    try:
        pixels = ds.pixel_array
        slope, intercept = (
            float(ds.get(keyword, neutral) if ds.get(keyword) is not None else neutral)
            for keyword, neutral in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
        )
    except DAMAGE as damage:
        raise VolumeRefused(
            VolumeReason.UNREADABLE,
            "the pixels of a slice are damaged or in an encoding that is not supported",
        ) from damage
    if pixels.shape != into.shape:
        raise VolumeRefused(VolumeReason.UNREADABLE, "the pixels of a slice do not fill its rows and columns")
    np.multiply(pixels, np.float32(slope), out=into, casting="unsafe")
    into += np.float32(intercept)
    if not np.isfinite(into).all():
        raise VolumeRefused(VolumeReason.UNSUPPORTED_PIXELS, "a slice holds values that are not finite")
