"""Whether a series is what a pathway's model may be given: one check for each line of the file's `[input]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from wardround.dicom.damage import DAMAGE
from wardround.dicom.source_series import SourceSeries
from wardround.dicom.volume import Grid
from wardround.dicom.volume_refusal import VolumeReason, VolumeRefused
from wardround.node.clinic.definition import Input, Orientation, Span
from wardround.node.receive.route_pattern import glob

_STRAIGHT = float(np.cos(np.radians(35)))
_PLANES: tuple[Orientation, ...] = ("sagittal", "coronal", "axial")
"""By the axis of the patient (x, y, z of LPS) along which slices follow each other."""
_PROCEDURES = ("ProcedureCodeSequence", "RequestedProcedureCodeSequence", "PerformedProtocolCodeSequence")


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its code, what is wanted and what was found, in words."""

    code: str
    wanted: str
    found: str
    holds: bool

    @property
    def words(self) -> str:
        return f"{self.code}: {self.found}, wanted {self.wanted}"


def checks_of(wanted: Input, series: SourceSeries) -> tuple[Check, ...]:
    """What is wanted of a series, checked by its headers; what isn't wanted isn't looked at.

    Raises:
        VolumeRefused: it is no volume, or can't be read.
    """
    try:
        return tuple(_checks(wanted, series.grid, series.datasets[0]))
    except VolumeRefused:
        raise
    except DAMAGE as damage:
        raise VolumeRefused(VolumeReason.UNREADABLE, "a header holds a value that can't be read") from damage


def _checks(wanted: Input, grid: Grid, first: Dataset) -> Iterator[Check]:
    slices, rows, columns = grid.shape
    if wanted.orientation:
        plane = _plane(grid.affine)
        yield Check("orientation", " or ".join(wanted.orientation), plane, plane in wanted.orientation)
    yield from _within("slices", wanted.slices, [slices], "")
    yield from _within("slice-spacing", wanted.slice_spacing_mm, [grid.spacing[0]], "mm")
    yield from _within("pixel-spacing", wanted.pixel_spacing_mm, grid.spacing[1:], "mm")
    yield from _within("coverage", wanted.coverage_mm, [slices * grid.spacing[0]], "mm")
    yield from _within("matrix", wanted.matrix, [rows, columns], "")
    if wanted.contrast is not None:
        named = "with" if first.get("ContrastBolusAgent") or first.get("ContrastBolusAgentSequence") else "without"
        yield Check("contrast", wanted.contrast, named, named == wanted.contrast)
    if wanted.scanners:
        scanner = f"{first.get('Manufacturer') or ''} {first.get('ManufacturerModelName') or ''}".strip()
        known = any(glob(pattern).matches(scanner) for pattern in wanted.scanners)
        yield Check("scanner", "one of the validated set", scanner[:80] or "none named", known)
    if wanted.procedure_codes:
        codes = _codes(first)
        found = ", ".join(sorted(codes))[:80] or "none"
        yield Check(
            "procedure", " or ".join(wanted.procedure_codes), found, not codes.isdisjoint(wanted.procedure_codes)
        )


def _within(code: str, span: Span | None, values: Sequence[float], unit: str) -> Iterator[Check]:
    if span is None:
        return
    low, high = span
    told = " by ".join(f"{value:.4g}" for value in dict.fromkeys(values))
    fits = all(low <= value <= high for value in values)
    yield Check(code, f"{low:g} to {high:g} {unit}".rstrip(), f"{told} {unit}".rstrip(), fits)


def _plane(affine: NDArray[np.float64]) -> str:
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    along = np.abs(normal) / np.linalg.norm(normal)
    axis = int(along.argmax())
    return _PLANES[axis] if along[axis] >= _STRAIGHT else "oblique"


def _codes(first: Dataset) -> set[str]:
    return {
        f"{item.get('CodeValue') or ''}|{item.get('CodingSchemeDesignator') or ''}"
        for name in _PROCEDURES
        for item in first.get(name) or ()
    }
