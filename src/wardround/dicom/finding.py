"""What a model found in a series, as every kind of report says it: coded, measured, with the model that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

OWN = "99WARDROUND"
"""The coding scheme of what no standard code was found for; the meaning says it (PS3.16 section 8.2)."""


@dataclass(frozen=True, slots=True)
class Concept:
    """A code, its scheme (`SCT`, `DCM`, `UCUM`, …) and what it means in words."""

    value: str
    scheme: str
    meaning: str


MORPHOLOGY = Concept("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMY = Concept("123037004", "SCT", "Anatomical Structure")
NEOPLASM = Concept("108369006", "SCT", "Neoplasm")
_LESION = Concept("52988006", "SCT", "Lesion")
_CODED = MappingProxyType(
    {
        "tumour": (MORPHOLOGY, NEOPLASM),
        "lesion": (MORPHOLOGY, _LESION),
        "lesions": (MORPHOLOGY, _LESION),
        "nodule": (MORPHOLOGY, Concept("27925004", "SCT", "Nodule")),
        "haemorrhage": (MORPHOLOGY, Concept("50960005", "SCT", "Hemorrhage")),
        "pulmonary embolism": (MORPHOLOGY, Concept("59282003", "SCT", "Pulmonary embolism")),
        "hippocampi": (ANATOMY, Concept("5366008", "SCT", "Hippocampus")),
        "liver": (ANATOMY, Concept("10200004", "SCT", "Liver")),
        "organs at risk": (ANATOMY, Concept("91772007", "SCT", "Organ")),
    }
)

VOLUME = Concept("118565006", "SCT", "Volume")
LONG_AXIS = Concept("103339001", "SCT", "Long axis")
PROBABILITY = Concept("PROBABILITY", OWN, "Probability")
_NUMBERS = MappingProxyType(
    {
        "calcium score": Concept("112058", "DCM", "Calcium score"),
        "ejection fraction": Concept("70822001", "SCT", "Cardiac ejection fraction"),
    }
)

CUBIC_MM = Concept("mm3", "UCUM", "cubic millimeter")
MM = Concept("mm", "UCUM", "millimeter")
RATIO = Concept("1", "UCUM", "no units")
PERCENT = Concept("%", "UCUM", "percent")


def coded(of: str) -> tuple[Concept, Concept]:
    """Category and type (PS3.16 CID 7150 and 7151) of what a pathway looks for, in its words."""
    own = Concept(_own_value(of), OWN, of[:64])
    return _CODED.get(of.strip().lower(), (MORPHOLOGY, own))


def number_concept(of: str) -> Concept:
    """What a model that tells a number measures, in a pathway's words."""
    return _NUMBERS.get(of.strip().lower(), Concept(_own_value(of), OWN, of[:64]))


def unit_of(words: str) -> Concept:
    """A unit that a pathway names: as UCUM where it is written so, else as an annotation, which has no dimension."""
    if not words:
        return RATIO
    known = {"%": PERCENT, "mm": MM, "mm3": CUBIC_MM, "ml": Concept("mL", "UCUM", "milliliter")}
    plain = "".join(letter for letter in words if letter.isalnum() or letter in "-_ ")[:14]
    return known.get(words, Concept(f"{{{plain.replace(' ', '_')}}}", "UCUM", words[:64]))


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number, what it measures and its unit."""

    concept: Concept
    value: float
    unit: Concept


@dataclass(frozen=True, slots=True)
class MadeBy:
    """The model. version: its own; digest: SHA-256 of its package; software: what ran it, and how that was checked."""

    name: str
    version: str
    digest: str
    software: str
    manufacturer: str = "Wardround"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the same model measured in an earlier study of the same person, which it read for this finding.

    sop_class, sop_instance: of one image of the series that was read. days: by how many it was made earlier.
    """

    study: str = field(repr=False)
    series: str = field(repr=False)
    sop_class: str
    sop_instance: str = field(repr=False)
    days: int
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a model says of one series.

    of: in the pathway's words. words: one sentence for people. banner: of the stage, empty from second reader on.
    marked: whether anything was outlined; None for a model that outlines nothing. at: when it was read. earlier: what
    was read beside it, where the pathway asks for that and there was one.
    """

    of: str
    words: str
    measurements: tuple[Measurement, ...]
    made_by: MadeBy
    at: datetime
    banner: str = ""
    marked: bool | None = None
    earlier: Earlier | None = None


def _own_value(of: str) -> str:
    """A code value (SH, at most 16 characters) made of words."""
    return ("".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in of.upper())[:16]).strip("-")
