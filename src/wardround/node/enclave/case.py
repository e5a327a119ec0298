"""One learning case: which series, which label, and how their voxels are made once and kept."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.base import Digest, Frozen
from wardround.contracts.cohort_query import CohortQuestion
from wardround.dicom.segmentation_reading import SegmentationRefused, read_segmentation
from wardround.dicom.volume import VolumeRefused, read_volume
from wardround.foundation.errors import WardroundError
from wardround.foundation.files import ObjectDamaged, ObjectMissing, ObjectStore, write_whole

CACHE_VERSION = b"1"


class CaseRef(Frozen):
    """A series and, where it has one, its reference label; all names are pseudonyms and new UIDs.

    `digest` is SHA-256 over the digests of the objects that the case is made of: it changes when a late instance or
    another label arrives.
    """

    pseudonym: str
    study: str
    series: str
    label: str | None
    digest: Digest


class Manifest(Frozen):
    """A cohort as it stands: the question and its cases in the order of pseudonym, study and series.

    `content_digest()` names the frozen cohort."""

    question: CohortQuestion
    cases: tuple[CaseRef, ...]


class CaseUnusable(WardroundError):
    """A case that gives no volume, or whose label doesn't fit it; `code` says why, the text holds no identifier."""

    code = "case-unusable"


@dataclass(frozen=True, slots=True)
class Case:
    """The voxels of a case.

    image: float32 (Z, Y, X) as in `wardround.dicom.volume.Volume`. label: bool of the same shape, or None.
    spacing: millimetres along (z, y, x). affine: float64 (4, 4), array index (z, y, x, 1) to LPS millimetres.
    """

    ref: CaseRef
    image: NDArray[np.float32] = field(repr=False)
    label: NDArray[np.bool_] | None = field(repr=False)
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64] = field(repr=False)


def case_digest(instances: Sequence[str], label: str | None) -> str:
    """The digest of a case made of these objects, in any order."""
    return sha256("\n".join([*sorted(instances), "label", label or "none"]).encode()).hexdigest()


def volumes_folder(series: str) -> str:
    """The folder in which the volumes of a series are kept: no identifier, and as short as a name may be."""
    return sha256(series.encode()).hexdigest()[:32]


class Volumes:
    """Volumes made once, kept by the digest of what they were made of. Losing the folder costs time only."""

    def __init__(self, root: Path, objects: ObjectStore) -> None:
        self._root = root
        self._objects = objects

    def kept(self, ref: CaseRef) -> Case | None:
        """The case as it was made before, or None; a damaged file is as good as none."""
        try:
            with np.load(self._path(ref), allow_pickle=False) as arrays:
                return Case(
                    ref=ref,
                    image=arrays["image"],
                    label=arrays.get("label"),
                    spacing=(float(arrays["spacing"][0]), float(arrays["spacing"][1]), float(arrays["spacing"][2])),
                    affine=arrays["affine"],
                )
        except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
            return None

    def make(self, ref: CaseRef, instances: Sequence[str], label: str | None) -> Case:
        """Read the case out of the object store and keep it.

        Raises:
            CaseUnusable: the series is no regular volume, the label doesn't lie on it, or an object is lost.
        """
        try:
            volume = read_volume([self._objects.get(digest) for digest in instances])
            mask = None if label is None else read_segmentation(self._objects.get(label), volume)
        except (VolumeRefused, SegmentationRefused) as refused:
            raise CaseUnusable(str(refused), code=refused.reason_code.value.replace("_", "-")) from None
        except (ObjectMissing, ObjectDamaged) as lost:
            code = "object-missing" if isinstance(lost, ObjectMissing) else "object-damaged"
            raise CaseUnusable("an object of the case is lost; restore the enclave from a backup", code=code) from None
        case = Case(ref=ref, image=volume.array, label=mask, spacing=volume.spacing, affine=volume.affine)
        arrays = {"image": case.image, "spacing": np.asarray(case.spacing), "affine": case.affine}
        if mask is not None:
            arrays["label"] = mask
        buffer = BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        write_whole(self._path(ref), buffer.getvalue())
        return case

    def _path(self, ref: CaseRef) -> Path:
        name = sha256(CACHE_VERSION + ref.digest.encode()).hexdigest()
        return self._root / volumes_folder(ref.series) / f"{name}.npz"
