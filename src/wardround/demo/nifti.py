"""Real patients from a folder of NIfTI files, as demonstration patients with invented identities.

The folder holds one folder per hospital, of any name; in it, per patient, `<patient>_flair.nii.gz` and
`<patient>_tumour.nii.gz` (0 and 1). A `patients.csv` beside the hospitals may give, per row, `site`, `patient`,
`age` and `gender_code` (1 female, 2 male); what it doesn't give is not known. The patients' names in the folder
are used for messages and keys, never in DICOM.

Frame: arrays are taken in the order of the file, (X, Y, Z) = (columns, rows, slices), as (Z, Y, X). Columns are
taken to run to the patient's left, rows to the back and slices to the head; of the affine only the voxel size is
used, since in such collections the rest is often nominal. `read_volume` therefore gives a series made of a
patient back in the order of the file, and `to_file_order` turns a mask on that grid into the order of the file.
"""

import csv
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from wardround.demo.identities import Canaries, Identity, invent_identity
from wardround.demo.nifti_site_code import site_codes
from wardround.demo.patients import DemoPatient, Equipment, axial_affine

IMAGE, MASK = "_flair.nii.gz", "_tumour.nii.gz"
_SEX = {"1": "F", "2": "M"}
_EQUIPMENT = Equipment("Meridian Imaging", "Archive", 1.5, 9000, 120, 2400, "1")
_DAMAGE = (ImageFileError, OSError, EOFError, ValueError, zlib.error)

Voxel = TypeVar("Voxel", bound=np.generic)


class DataRefused(ValueError):
    """A folder of patients that can't be used; the message names the file and the mend, for who gave the folder."""


def to_file_order(array: NDArray[Voxel]) -> NDArray[Voxel]:
    """(Z, Y, X) as in DemoPatient and Volume to (X, Y, Z) as in the NIfTI file."""
    return array.transpose(2, 1, 0)


@dataclass(frozen=True, slots=True)
class _Row:
    age: int | None = None
    sex: str = ""
    lesion_voxels: int | None = None


@dataclass(frozen=True, slots=True)
class NiftiHospital:
    """One folder of patients; a `DemoHospital`. Build it with `read_hospitals`. Patients are read one at a time."""

    code: str
    name: str
    folder: Path
    keys: tuple[str, ...]
    rows: dict[str, _Row]
    seed: int
    canaries: Canaries | None = None

    @property
    def clinic_key(self) -> str:
        """The patient whose lesion is of median size (the lower of two), of those that have one."""
        sizes = {key: self._lesion_voxels(key) for key in self.keys}
        ranked = sorted((size, key) for key, size in sizes.items() if size) or sorted(
            (size, key) for key, size in sizes.items()
        )
        return ranked[(len(ranked) - 1) // 2][1]

    def _lesion_voxels(self, key: str) -> int:
        known = self.rows.get(key, _Row()).lesion_voxels
        return int(np.count_nonzero(_array(self.folder / f"{key}{MASK}")[0])) if known is None else known

    def identity(self, key: str) -> Identity:
        """Who a patient is in DICOM: the same each time, and nothing of the folder's own; needs no image."""
        row = self.rows.get(key, _Row())
        rng = np.random.default_rng([self.seed, zlib.crc32(self.code.encode()), zlib.crc32(key.encode())])
        identity = invent_identity(
            rng,
            institution=self.name,
            institution_address=f"1 Hospital Road, {self.name}",
            device_serial=f"MR{zlib.crc32(self.code.encode()) % 100000:05d}",
            sex=row.sex,
            age=row.age,
        )
        return self.canaries.plant(identity) if self.canaries else identity

    def patient(self, key: str) -> DemoPatient:
        """Reads one patient; raises KeyError for an unknown key, DataRefused for files that can't be used."""
        if key not in self.keys:
            raise KeyError(f"{self.code} has no such patient")
        image_file, mask_file = self.folder / f"{key}{IMAGE}", self.folder / f"{key}{MASK}"
        (image, size), (mask, _) = _array(image_file), _array(mask_file)
        if mask.shape != image.shape:
            raise DataRefused(
                f"{mask_file}: the mask has {mask.shape} voxels and the image {image.shape}; draw it on that image"
            )
        return DemoPatient(
            hospital=self.code,
            key=key,
            identity=self.identity(key),
            equipment=_EQUIPMENT,
            image=_storable(image_file, image.transpose(2, 1, 0)),
            mask=np.ascontiguousarray(mask.transpose(2, 1, 0) > 0),
            affine=axial_affine((size[2], size[1], size[0]), (image.shape[2], image.shape[1], image.shape[0])),
        )


def read_hospitals(folder: Path, *, seed: int = 1, canaries: Canaries | None = None) -> Sequence[NiftiHospital]:
    """The hospitals of a folder, by folder name; no image is read yet.

    Raises DataRefused where there are fewer than 2 or more than 8, or a patient lacks an image or a mask.
    """
    if not folder.is_dir():
        raise DataRefused(f"{folder}: there is no such folder; give one that holds a folder per hospital")
    found = {
        site.name: _patients(site)
        for site in sorted(folder.iterdir())
        if site.is_dir() and not site.name.startswith(".")
    }
    found = {site: keys for site, keys in found.items() if keys}
    if not 2 <= len(found) <= 8:
        raise DataRefused(
            f"{folder}: {len(found)} of its folders hold patients (files *{IMAGE}); a demonstration needs 2 to 8"
        )
    rows = _read_csv(folder / "patients.csv")
    codes = site_codes(list(found))
    return [
        NiftiHospital(
            code=codes[site],
            name=f"{' '.join(site.replace('_', ' ').split())} Hospital"[:64],
            folder=folder / site,
            keys=keys,
            rows={key: rows[site, key] for key in keys if (site, key) in rows},
            seed=seed,
            canaries=canaries,
        )
        for site, keys in found.items()
    ]


def _patients(site: Path) -> tuple[str, ...]:
    images = {file.name.removesuffix(IMAGE) for file in site.glob(f"*{IMAGE}")}
    masks = {file.name.removesuffix(MASK) for file in site.glob(f"*{MASK}")}
    for key in sorted(images ^ masks):
        missing = f"{key}{MASK if key in images else IMAGE}"
        raise DataRefused(f"{site / missing}: is missing; add it, or take the patient's other file away")
    return tuple(sorted(images))


def _array(file: Path) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """Voxels (X, Y, Z) and their size in millimetres."""
    try:
        loaded: Any = nibabel.load(file)
        voxels = np.asanyarray(loaded.dataobj)
        size = np.linalg.norm(np.asarray(loaded.affine, dtype=np.float64)[:3, :3], axis=0)
    except _DAMAGE as damage:
        raise DataRefused(f"{file}: can't be read as NIfTI ({damage}); replace it") from damage
    if voxels.ndim != 3 or min(voxels.shape) < 1:
        raise DataRefused(f"{file}: has shape {voxels.shape}; it must hold one volume of three axes")
    if not (np.isfinite(size).all() and (size > 0).all()):
        raise DataRefused(f"{file}: its affine gives a voxel no size; write the voxel size into the file")
    return voxels, (float(size[0]), float(size[1]), float(size[2]))


def _storable(file: Path, image: NDArray[Any]) -> NDArray[np.float32]:
    """Whole numbers from 0 to 65535: as they are where they fit, else spread over 0 to 4095."""
    values = np.ascontiguousarray(image, dtype=np.float32)
    if not np.isfinite(values).all():
        raise DataRefused(f"{file}: holds values that are not finite; replace them")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 65535 and bool((values == np.rint(values)).all()):
        return values
    return np.asarray(np.rint((values - low) * (4095 / max(high - low, 1e-12))), dtype=np.float32)


def _read_csv(file: Path) -> dict[tuple[str, str], _Row]:
    if not file.exists():
        return {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as damage:
        raise DataRefused(f"{file}: can't be read as CSV in UTF-8 ({damage}); mend or remove it") from damage
    return {
        ((line.get("site") or "").strip(), (line.get("patient") or "").strip()): _Row(
            age=_whole(line.get("age"), 120),
            sex=_SEX.get((line.get("gender_code") or "").strip(), ""),
            lesion_voxels=_whole(line.get("tumour_voxels"), 1 << 31),
        )
        for line in lines
    }


def _whole(text: str | None, limit: int) -> int | None:
    """A whole number from 0 to the limit; None for anything else, which counts as not known."""
    try:
        number = int(float(text or ""))
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= limit else None
