"""One learning case: which series, which label, and their voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.base import Digest, Frozen
from wardround.contracts.cohort_query import CohortQuestion
from wardround.foundation.errors import WardroundError


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
    unit: of the image's values, as stored; empty where they mean nothing by themselves.
    """

    ref: CaseRef
    image: NDArray[np.float32] = field(repr=False)
    label: NDArray[np.bool_] | None = field(repr=False)
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64] = field(repr=False)
    unit: str = ""


def case_digest(instances: Sequence[str], label: str | None) -> str:
    """The digest of a case made of these objects, in any order."""
    return sha256("\n".join([*sorted(instances), "label", label or "none"]).encode()).hexdigest()


def volumes_folder(series: str) -> str:
    """The folder in which the volumes of a series are kept: no identifier, and as short as a name may be."""
    return sha256(series.encode()).hexdigest()[:32]
