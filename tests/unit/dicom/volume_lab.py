"""Series of slices made for tests of volumes: a smooth field sampled wherever the headers say that a slice lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A field in the patient's frame: (…, 3) LPS millimetres to values from 0 to 2000."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 1000 + 400 * np.sin(x / 23) + 300 * np.cos(y / 31) + 250 * np.sin(z / 17 + x / 40)


def turned(seed: int | None) -> NDArray[np.float64]:
    """A rotation: none, or one of its seed."""
    if seed is None:
        return np.eye(3)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return turn * np.sign(np.linalg.det(turn))


def series(
    slices: int = 12,
    rows: int = 20,
    columns: int = 24,
    *,
    spacing: tuple[float, float, float] = (3.0, 1.5, 1.25),
    turn: NDArray[np.float64] | None = None,
    tilt: float = 0.0,
    modality: str = "CT",
    field: Field = smooth,
    **values: object,
) -> list[Dataset]:
    """Slices from the feet to the head, `tilt` millimetres further along the rows' own direction with each.

    spacing: millimetres along (z, y, x). values: further attributes of each slice.
    """
    turn = np.eye(3) if turn is None else turn
    row, column, normal = turn[:, 0], turn[:, 1], turn[:, 2]
    uids = [generate_uid() for _ in range(3)]
    made = []
    for index in range(slices):
        corner = turn @ np.array([-15.0, -20.0, 7.0]) + index * (spacing[0] * normal + tilt * column)
        y, x = np.mgrid[:rows, :columns]
        points = corner + y[..., None] * spacing[1] * column + x[..., None] * spacing[2] * row
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CT, generate_uid()
        ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = CT, ds.SOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = uids
        ds.Modality, ds.PatientID, ds.PatientName = modality, "P1", "A^B"
        ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.StudyID = ""
        ds.SeriesNumber, ds.InstanceNumber, ds.PositionReferenceIndicator, ds.Manufacturer = 1, index + 1, "", ""
        ds.ReferringPhysicianName, ds.ImageType = "", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient = [round(float(value), 6) for value in corner]
        ds.ImageOrientationPatient = [round(float(value), 9) for value in (*row, *column)]
        ds.PixelSpacing, ds.SliceThickness = [spacing[1], spacing[2]], spacing[0]
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType, ds.KVP, ds.AcquisitionNumber = 1, -1024, "HU", "", 1
        put(ds, np.rint(field(points)).astype(np.uint16))
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        made.append(ds)
    return made


def segmentation(source: Sequence[Dataset], drawn: NDArray[np.uint8]) -> Dataset:
    """What another program draws on these images: `drawn` has a plane for each of their frames, in their order."""
    segment = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    return highdicom.seg.Segmentation(
        source_images=source,
        pixel_array=drawn,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=generate_uid(),
        series_number=3,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="M",
        manufacturer_model_name="M",
        software_versions="1",
        device_serial_number="1",
    )


def put(ds: Dataset, pixels: NDArray[np.generic]) -> None:
    """Set the pixels, uncompressed."""
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"


def points_of(affine: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """Where the voxels of a grid lie, (Z, Y, X, 3) in LPS millimetres."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    index = np.stack([z, y, x, np.ones_like(z)], axis=-1)
    return np.asarray((index @ affine.T)[..., :3])
