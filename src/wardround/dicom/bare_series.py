"""A volume as a DICOM series that says nothing of whose it is: pixels, and where they lie.

For programs that take a folder of images (CT, MR and PET Image Storage, DICOM PS3.3 A.3, A.4, A.21).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from wardround.dicom.source_header import made_uid
from wardround.dicom.volume import Volume

_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
_LOWEST, _STEPS = -32768, 65535


def write_bare_series(image: NDArray[Any], spacing: tuple[float, float, float], modality: str, folder: Path) -> Volume:
    """Write one Part 10 file a slice into `folder`; returns the volume that they make.

    Args:
        image: (Z, Y, X), slices to the head, rows to the back, columns to the patient's left. Whole numbers of 16 bits
            are kept; others are rounded to one of 65,536 levels.
        spacing: millimetres along (z, y, x).
        modality: CT, MR or PT.
    """
    stored, slope, intercept = _stored(image)
    study, series, frame = made_uid(), made_uid(), made_uid()
    uids = []
    for place, plane in enumerate(stored):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = _CLASSES[modality], made_uid(), modality
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
            setattr(ds, keyword, "")
        for keyword in (
            "StudyDate",
            "StudyTime",
            "ReferringPhysicianName",
            "Manufacturer",
            "PositionReferenceIndicator",
        ):
            setattr(ds, keyword, "")
        ds.PatientPosition, ds.SeriesNumber, ds.InstanceNumber = "HFS", "1", str(place + 1)
        ds.ImagePositionPatient = [0.0, 0.0, round(place * spacing[0], 6)]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [spacing[1], spacing[2]], spacing[0]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = plane.shape
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = f"{slope:.10g}", f"{intercept:.10g}"
        ds.RescaleType = "HU" if modality == "CT" else "US"
        ds.PixelData = plane.tobytes()
        uids.append(str(ds.SOPInstanceUID))
        pydicom.dcmwrite(folder / f"{place:05}.dcm", ds, enforce_file_format=True)
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = spacing[2], spacing[1], spacing[0], 1
    return Volume(
        array=np.asarray(image, np.float32),
        affine=affine,
        spacing=spacing,
        sop_instance_uids=tuple(uids),
        series_instance_uid=series,
        study_instance_uid=study,
        frame_of_reference_uid=frame,
        frame_numbers=(1,) * len(uids),
    )


def _stored(image: NDArray[Any]) -> tuple[NDArray[np.int16], float, float]:
    low, high = float(image.min()), float(image.max())
    if low >= _LOWEST and high < -_LOWEST and bool((np.rint(image) == image).all()):
        return image.astype("<i2"), 1.0, 0.0
    slope = max(high - low, 1e-6) / _STEPS
    return (np.rint((image - low) / slope) + _LOWEST).astype("<i2"), slope, low - _LOWEST * slope
