"""Dice of a trained model package on a folder of patients, of hospitals that it never saw too. Needs torch.

The folder holds one folder per hospital; in it `<patient>_flair.nii.gz` and `<patient>_tumour.nii.gz` (0/1) per
patient, and a `patients.csv` that isn't needed here. Arrays are taken in the order of the file, (X, Y, Z), with
rows running to the patient's back, and not turned by the affine, which in such collections is often nominal.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from wardround.learning.bundle import BundleRefused, load_bundle
from wardround.learning.case import Case, CaseRefused
from wardround.learning.kinds import learner_of
from wardround.learning.metrics import mean_over_patients

IMAGE, MASK = "_flair.nii.gz", "_tumour.nii.gz"


class DataRefused(ValueError):
    """A folder of patients that can't be scored; the message says which file and the mend."""


def score(bundle: Path, data: Path, *, threads: int = 1) -> dict[str, Any]:
    """`{"mean": …, "sites": {site: …}, "patients": {patient: …}}`: Dice, and plain means over patients.

    A patient's name is the file's; a name that two hospitals use is written `site/patient`.

    Raises:
        DataRefused: no patients, a mask or an image is missing, their shapes differ, a file is damaged.
        BundleRefused, ArraysRefused: the model package is not usable, or outlines nothing.
    """
    hospitals = patients(data)
    checked, arrays = load_bundle(bundle)
    if checked.target is not None:
        raise BundleRefused("no-outline", f"{checked.name} outlines nothing, so that masks can't judge it")
    segmenter = learner_of(checked, threads=threads)
    names = [name for found in hospitals.values() for name in found]
    by_site: dict[str, float] = {}
    by_patient: dict[str, float] = {}
    for site, found in hospitals.items():
        values = {}
        for name in found:
            case = read_case(data / site, name)
            try:
                (dice,) = segmenter.evaluate(arrays, [case])[name]
            except CaseRefused as error:
                raise DataRefused(f"{data / site / (name + IMAGE)}: {error}") from error
            values[name if names.count(name) == 1 else f"{site}/{name}"] = dice
        by_site[site] = mean_over_patients(values)
        by_patient |= values
    return {"mean": mean_over_patients(by_patient), "sites": by_site, "patients": by_patient}


def patients(data: Path) -> dict[str, tuple[str, ...]]:
    """The patients of each hospital in a folder, both sorted.

    Raises:
        DataRefused: there is none, or one lacks its image or mask.
    """
    if not data.is_dir():
        raise DataRefused(f"{data} is not a folder; give one that holds a folder per hospital")
    hospitals = {}
    for folder in sorted(entry for entry in data.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        images = {path.name.removesuffix(IMAGE) for path in folder.glob(f"*{IMAGE}")}
        masks = {path.name.removesuffix(MASK) for path in folder.glob(f"*{MASK}")}
        for name in sorted(images ^ masks):
            lacking = MASK if name in images else IMAGE
            raise DataRefused(f"{folder / (name + lacking)} is missing; add it, or take the patient out")
        if images:
            hospitals[folder.name] = tuple(sorted(images))
    if not hospitals:
        raise DataRefused(f"{data} holds no patients; expected <hospital>/<patient>{IMAGE} and …{MASK}")
    return hospitals


def read_case(folder: Path, name: str) -> Case:
    """One patient of a hospital's folder.

    Raises:
        DataRefused: a file is missing or damaged, shapes differ, the mask holds other values than 0 and 1.
    """
    image, spacing = _read(folder / f"{name}{IMAGE}")
    mask, _ = _read(folder / f"{name}{MASK}")
    if image.shape != mask.shape:
        raise DataRefused(
            f"{folder / (name + MASK)} is {mask.shape[::-1]} voxels, the image {image.shape[::-1]}; they must agree"
        )
    if not np.isin(mask, (0, 1)).all():
        raise DataRefused(f"{folder / (name + MASK)} holds values other than 0 and 1")
    try:
        return Case(name, image, mask.astype(np.bool_), spacing)
    except CaseRefused as error:
        raise DataRefused(f"{folder / (name + IMAGE)}: {error}") from error


def _read(path: Path) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """The voxels as (Z, Y, X), and millimetres along (z, y, x)."""
    try:
        file = nibabel.load(path)
        voxels = np.asarray(file.dataobj)
        if voxels.ndim != 3:
            raise DataRefused(f"{path} has {voxels.ndim} dimensions, not 3")
        x, y, z = (float(mm) for mm in file.header.get_zooms())
    except FileNotFoundError:
        raise DataRefused(f"{path} is missing; add it, or take the patient out") from None
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        if isinstance(error, DataRefused):
            raise
        raise DataRefused(f"{path} is damaged or not NIfTI: {error}") from error
    return voxels.transpose(2, 1, 0), (z, y, x)
