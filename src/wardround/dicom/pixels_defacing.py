"""Remove the face from a head CT or MR series, on the de-identified instances.

The Clean Recognizable Visual Features Option (PS3.15 E.3.2): a surface drawn from the voxels could be recognised, or
matched to photographs. What lies in front of a plane from the brow down and back is set to the value of air; the
method is geometric, in the spirit of QuickShear (Schimke et al. 2011), but takes its plane from the outline of the
head. It removes eyes, nose, mouth and chin; it leaves ears, forehead, teeth behind the plane and the shape of the
skull. docs/explanation/defacing.md says what that costs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
import pydicom

from wardround.dicom.damage import DAMAGE
from wardround.dicom.pixels_facts import PixelFacts
from wardround.dicom.pixels_head import HeadReason, HeadUnclear, body_of, face_plane
from wardround.dicom.pixels_rewriting import Rewriting
from wardround.dicom.statement import Deidentified
from wardround.dicom.volume import VolumePolicy, read_volume

__all__ = [
    "CLEAN_FEATURES", "SLICES", "Defaced", "HeadReason", "HeadUnclear", "deface", "defaced", "may_show_a_face",
    "names_a_head",
]  # fmt: skip

CLEAN_FEATURES = ("113102", "Clean Recognizable Visual Features Option")
"""Code value and meaning, scheme DCM (PS3.16 CID 7050)."""
_RECOGNISABLE = 0x00280302
_READ = ("SOPInstanceUID", "SOPClassUID", "Modality")
_POLICY = VolumePolicy(tilt="keep")
SLICES = frozenset({"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"})
"""CT and MR Image Storage: a face is removed from a whole series of these."""
_STACKS = frozenset(f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2.1", "2.2", "4.1", "4.3", "4.4"))
"""Enhanced CT, MR and MR colour, and legacy converted ones: their faces can't be removed here."""


@dataclass(frozen=True, slots=True)
class Defaced:
    """A series without its face. instances: in the order given. voxels: how many that weren't air already are gone,
    0 where the volume ends above the brow."""

    instances: tuple[bytes, ...] = field(repr=False)
    voxels: int


def may_show_a_face(facts: PixelFacts) -> bool:
    """Whether an object is a CT or MR, of one frame or of many, whose header doesn't say that it shows no face."""
    if not facts.has_pixels or facts.sop_class not in SLICES | _STACKS:
        return False
    return facts.body_part not in _parts()["no_face"] or facts.recognisable == "YES"


def names_a_head(facts: PixelFacts) -> bool:
    """Whether the header says that a face is to be expected."""
    return facts.body_part in _parts()["head"] or facts.recognisable == "YES"


@cache
def _parts() -> dict[str, frozenset[str]]:
    text = files("wardround.dicom").joinpath("data", "body_parts.json").read_text(encoding="utf-8")
    return {key: frozenset(parts) for key, parts in json.loads(text).items() if isinstance(parts, list)}


def deface(instances: Sequence[bytes]) -> Defaced:
    """The slices of one series, whole and de-identified, with the face set to air and marked so.

    Args:
        instances: Part 10 files of single-frame grey slices, in any order.

    Raises:
        HeadUnclear: the head's outline doesn't tell where its face is, or an object isn't of one frame; the series
            must not pass as defaced.
        VolumeRefused: the slices aren't one regular volume.
        Refused: the pixels can't be decoded.
    """
    headers = [_header(part10) for part10 in instances]
    if any(sop_class not in SLICES for _, _, sop_class in headers):
        raise HeadUnclear(HeadReason.MULTI_FRAME, "the series isn't made of single slices")
    volume = read_volume(list(instances), _POLICY)
    if len(volume.sop_instance_uids) != len(instances) or set(volume.sop_instance_uids) != {h[0] for h in headers}:
        raise HeadUnclear(HeadReason.NOT_A_HEAD, "the series isn't one stack of slices, each of which is there once")
    body = body_of(volume.array, hounsfield=all(modality == "CT" for _, modality, _ in headers))
    plane = face_plane(body, volume.affine)
    gone = np.zeros(volume.array.shape, np.bool_)
    if plane is not None:
        index = [np.arange(size, dtype=np.float64) for size in volume.array.shape]
        y, z = (
            volume.affine[row, 0] * index[0][:, None, None]
            + volume.affine[row, 1] * index[1][None, :, None]
            + volume.affine[row, 2] * index[2][None, None, :]
            + volume.affine[row, 3]
            for row in (1, 2)
        )
        gone = plane.holds(y, z)
    at = {uid: place for place, uid in enumerate(volume.sop_instance_uids)}
    out: list[bytes] = []
    for part10, (uid, _, _) in zip(instances, headers, strict=True):
        rewriting = Rewriting(part10)
        rewriting.data = rewriting.layout.emptied(rewriting.data, gone[at[uid]])
        rewriting.mark(
            _RECOGNISABLE, CLEAN_FEATURES, "Face removed: what lies before a plane below the brow set to air"
        )
        out.append(rewriting.part10())
    return Defaced(tuple(out), int((gone & body).sum()))


def defaced(series: Sequence[Deidentified]) -> list[Deidentified]:
    """De-identified slices of one series without their face, and their statements saying so. Raises as `deface`."""
    result = deface([one.data for one in series])
    after: list[Deidentified] = []
    for one, data in zip(series, result.instances, strict=True):
        options = tuple(sorted({*one.statement.options, CLEAN_FEATURES[1]}))
        syntax = Rewriting(data).transfer_syntax
        after.append(
            replace(one, data=data, transfer_syntax_uid=syntax, statement=replace(one.statement, options=options))
        )
    return after


def _header(part10: bytes) -> tuple[str, str, str]:
    try:
        header = pydicom.dcmread(BytesIO(part10), stop_before_pixels=True, specific_tags=list(_READ))
        return str(header.SOPInstanceUID), str(header.get("Modality", "")), str(header.SOPClassUID)
    except DAMAGE:
        raise HeadUnclear(HeadReason.NO_HEAD, "a slice can't be read") from None
