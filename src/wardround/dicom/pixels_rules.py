"""What the header alone decides about an object's pixels: which kinds are trusted, and where a known device prints.

A kind is trusted where its images are made of measured values by a scanner that writes what it has to say into
attributes: CT, MR and PET that are original, primary and grey. Whatever else has pixels is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from wardround.dicom.pixels_boxes import Box, outside
from wardround.dicom.pixels_facts import PixelFacts


class ScreeningReason(StrEnum):
    """Why pixels aren't clear: codes for counts and pages, gravest first."""

    UNREADABLE_HEADER = "unreadable-header"
    IDENTIFIER_IN_PIXELS = "identifier-in-pixels"
    BURNED_IN = "burned-in-annotation"
    SCREEN_CAPTURE = "screen-capture"
    RECOGNISABLE = "recognizable-visual-features"
    FACE_UNCLEAR = "face-unclear"
    TEXT_IN_PIXELS = "text-in-pixels"
    ANNOTATION_AREA = "annotation-area"
    UNDECODABLE = "pixels-undecodable"
    READER_MISSING = "text-reader-missing"
    READER_FAILED = "text-reader-failed"


TRUSTED: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.4": "MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.128": "Positron Emission Tomography Image Storage",
    "1.2.840.10008.5.1.4.1.1.128.1": "Legacy Converted Enhanced PET Image Storage",
    "1.2.840.10008.5.1.4.1.1.130": "Enhanced PET Image Storage",
}
"""Classes whose original, primary, grey images are clear, unless the header speaks against it."""

NO_PICTURE: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.30": "Parametric Map Storage",
    "1.2.840.10008.5.1.4.1.1.481.2": "RT Dose Storage",
}
"""Classes whose Pixel Data are labels or computed quantities, not a picture."""

CAPTURES = frozenset(
    ("SCREEN SAVE", "SCREENSHOT", "SCREENSAVE", "CAPTURE", "REPORT", "PATIENT INFO", "DOSE_INFO", "FORM", "DISPLAY")
)
"""Values of Image Type that say that somebody's screen or form was stored."""

_ANNOTATED = frozenset({"LOCALIZER", "SCOUT", "SURVIEW", "TEXT", "REFERENCE"})
SMALLEST = 32
"""Rows and columns below which no name can be read."""


def suspicions(facts: PixelFacts, *, deface: bool = False) -> tuple[ScreeningReason, ...]:
    """What the header says against the pixels, whatever is read in them. `deface`: faces are removed later."""
    found: list[ScreeningReason] = []
    if facts.burned_in == "YES":
        found.append(ScreeningReason.BURNED_IN)
    if CAPTURES & set(facts.image_type):
        found.append(ScreeningReason.SCREEN_CAPTURE)
    if facts.recognisable == "YES" and not (deface and facts.sop_class in TRUSTED):
        found.append(ScreeningReason.RECOGNISABLE)
    return tuple(found)


def is_trusted(facts: PixelFacts) -> bool:
    """Whether the header alone clears the pixels, given that it says nothing against them."""
    if not facts.has_pixels or facts.sop_class in NO_PICTURE:
        return True
    if 0 < facts.rows < SMALLEST and 0 < facts.columns < SMALLEST:
        return True
    kind = facts.image_type
    grey = facts.samples == 1 and facts.photometric in ("MONOCHROME1", "MONOCHROME2")
    if facts.sop_class not in TRUSTED or not grey or len(kind) < 2 or _ANNOTATED & set(kind):
        return False
    # Maps that the scanner computes are pictures too; there its word is needed that nothing is burned in.
    return kind[:2] == ("ORIGINAL", "PRIMARY") or (kind[1] == "PRIMARY" and facts.burned_in == "NO")


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """Where a known device prints text. An empty condition holds for every object.

    manufacturer and model are compared from their beginning and without regard to case; rows and columns exactly.
    """

    name: str
    boxes: tuple[Box, ...]
    manufacturer: str = ""
    model: str = ""
    modality: str = ""
    sop_class: str = ""
    image_type: str = ""
    rows: int = 0
    columns: int = 0

    def matches(self, facts: PixelFacts) -> bool:
        return (
            facts.manufacturer.lower().startswith(self.manufacturer.lower())
            and facts.model.lower().startswith(self.model.lower())
            and self.modality in ("", facts.modality)
            and self.sop_class in ("", facts.sop_class)
            and (not self.image_type or self.image_type.upper() in facts.image_type)
            and self.rows in (0, facts.rows)
            and self.columns in (0, facts.columns)
        )


def device_rules(document: Mapping[str, Any]) -> tuple[DeviceRule, ...]:
    """The rules of a document like `data/pixel_devices.json`.

    Raises:
        ValueError: a rule has an unknown key, no boxes, or says neither manufacturer, model nor SOP class.
    """
    rules: list[DeviceRule] = []
    for number, entry in enumerate(document.get("rules", ()), 1):
        known = {key: value for key, value in entry.items() if key not in ("boxes", "source")}
        try:
            boxes = tuple(Box(*(int(edge) for edge in box)) for box in entry.get("boxes", ()))
            rule = DeviceRule(boxes=boxes, **known)
        except TypeError:
            raise ValueError(
                f"pixel device rule {number} has a key that isn't known, or a box without 4 numbers"
            ) from None
        if not rule.boxes or not (rule.manufacturer or rule.model or rule.sop_class):
            raise ValueError(f"pixel device rule {number} needs boxes, and a manufacturer, a model or an SOP class")
        rules.append(rule)
    return tuple(rules)


@cache
def shipped_rules() -> tuple[DeviceRule, ...]:
    """The rules that come with this package."""
    text = (files("wardround.dicom") / "data" / "pixel_devices.json").read_text(encoding="utf-8")
    return device_rules(json.loads(text))


def annotation_areas(facts: PixelFacts, rules: Iterable[DeviceRule]) -> tuple[Box, ...]:
    """Where text is known to be: a matching rule's boxes, or all that lies outside of an ultrasound's image areas.

    Empty where nothing is known.
    """
    known = [box for rule in rules if rule.matches(facts) for box in rule.boxes]
    if not known and facts.regions:
        known = list(outside(_hull(facts.regions), facts.rows, facts.columns))
    return tuple(dict.fromkeys(known))


def _hull(regions: Sequence[Box]) -> Box:
    """The smallest box around all regions: text between two areas of a dual image is left to reading."""
    top, left = min(box.row for box in regions), min(box.column for box in regions)
    bottom = max(box.row + box.height for box in regions)
    right = max(box.column + box.width for box in regions)
    return Box(top, left, bottom - top, right - left)
