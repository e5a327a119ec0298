"""Volumes for learning: made once of the objects of a case, kept by what they were made of, bounded in size."""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wardround.dicom.segmentation_reading import SegmentationRefused, read_segmentation
from wardround.dicom.volume import LEARNING, Volume, VolumeRefused, read_volume, straighten
from wardround.foundation.files import ObjectDamaged, ObjectMissing, ObjectStore
from wardround.node.enclave.case import Case, CaseRef, CaseUnusable, volumes_folder

PREPARATION = f"2 {LEARNING}"
"""How volumes are made: part of a kept volume's name, so that another way of making them makes them anew."""

_SHRINK_TO = 0.9


class Volumes:
    """Volumes in a folder, which may be lost at any time: that costs time only.

    A volume's name is a digest over its case's digest and `PREPARATION`. Where all of them are larger than `limit`
    bytes, those that were used longest ago go.
    """

    def __init__(self, root: Path, objects: ObjectStore, *, limit: int | None = None) -> None:
        self._root = root
        self._objects = objects
        self._limit = limit

    def kept(self, ref: CaseRef) -> Case | None:
        """The case as it was made before, or None; a damaged file is as good as none."""
        path = self._path(ref)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                case = Case(
                    ref=ref,
                    image=arrays["image"],
                    label=arrays.get("label"),
                    spacing=(float(arrays["spacing"][0]), float(arrays["spacing"][1]), float(arrays["spacing"][2])),
                    affine=arrays["affine"],
                    unit=str(arrays["unit"]),
                )
            os.utime(path)
        except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
            return None
        return case

    def make(self, ref: CaseRef, instances: Sequence[str], label: str | None) -> Case:
        """Read the case out of the object store and keep it.

        A tilted series is put on an upright grid with its label; in a slice that was interpolated the label is what
        both its neighbours have.

        Raises:
            CaseUnusable: the series is no regular volume, the label doesn't lie on it, or an object is lost.
        """
        try:
            volume = read_volume([self._objects.get(digest) for digest in instances], LEARNING)
            mask = None if label is None else _between(read_segmentation(self._objects.get(label), volume), volume)
            volume, mask = straighten(volume, mask)
        except (VolumeRefused, SegmentationRefused) as refused:
            code = refused.reason_code.value.replace("_", "-")
            if isinstance(refused, SegmentationRefused):
                code = f"label-{code}"
            raise CaseUnusable(str(refused), code=code) from None
        except (ObjectMissing, ObjectDamaged) as lost:
            code = "object-missing" if isinstance(lost, ObjectMissing) else "object-damaged"
            raise CaseUnusable("an object of the case is lost; restore the enclave from a backup", code=code) from None
        case = Case(
            ref=ref,
            image=volume.array,
            label=mask,
            spacing=volume.spacing,
            affine=volume.affine,
            unit=volume.unit,
        )
        self._keep(case)
        return case

    def size(self) -> int:
        """Bytes of all that is kept."""
        return sum(size for _, size, _ in self._files())

    def _keep(self, case: Case) -> None:
        path = self._path(case.ref)
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        arrays = {
            "image": case.image,
            "spacing": np.asarray(case.spacing),
            "affine": case.affine,
            "unit": np.asarray(case.unit),
        }
        if case.label is not None:
            arrays["label"] = case.label
        # Not flushed: what a crash leaves of it is found damaged by its checksums, and made anew.
        aside = path.with_name(f".{secrets.token_hex(8)}.npz")
        try:
            np.savez(aside, allow_pickle=False, **arrays)
            os.replace(aside, path)  # noqa: PTH105 - one rename, atomic on POSIX
        finally:
            aside.unlink(missing_ok=True)
        self._shrink(path)

    def _shrink(self, newest: Path) -> None:
        if self._limit is None:
            return
        files = sorted(self._files())
        size = sum(bytes_ for _, bytes_, _ in files)
        if size <= self._limit:
            return
        for _, bytes_, path in files:
            if size <= self._limit * _SHRINK_TO:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                size -= bytes_

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each file was last used, its bytes, and itself."""
        found = []
        for path in self._root.glob("*/*.npz"):
            try:
                told = path.stat()
            except FileNotFoundError:
                continue
            found.append((told.st_mtime, told.st_size, path))
        return found

    def _path(self, ref: CaseRef) -> Path:
        name = sha256(f"{PREPARATION}\n{ref.digest}".encode()).hexdigest()
        return self._root / volumes_folder(ref.series) / f"{name}.npz"


def _between(mask: NDArray[np.bool_], volume: Volume) -> NDArray[np.bool_]:
    for index in volume.filled:
        mask[index] = mask[index - 1] & mask[index + 1]
    return mask
