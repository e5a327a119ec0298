"""Whether an image's pixels may show who the patient is.

Works on the original object, whose header says what to look for. Nothing of the text that is found leaves: only
verdicts, codes and boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_facts import PixelFacts, read_facts
from wardround.dicom.pixels_rules import (
    DeviceRule,
    ScreeningReason,
    annotation_areas,
    is_trusted,
    shipped_rules,
    suspicions,
)
from wardround.dicom.statement import Identity


class Verdict(StrEnum):
    """What screening says of an object's pixels."""

    CLEAR = "clear"
    """Nothing was found and nothing is suspected."""
    REDACT = "redact"
    """Clear once the boxes are blackened: where this device prints is known, and the rest was found clean."""
    UNCERTAIN = "uncertain"
    """A person must look."""
    REFUSED = "refused"
    """No looking helps."""


@dataclass(frozen=True, slots=True)
class Screening:
    """The verdict on one object.

    reasons: codes of `ScreeningReason`, the gravest first; empty where clear. frames: which frames were read, from 1;
    empty where the header alone decided. boxes: where text was found (uncertain), or what to blacken (redact).
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()


class Screener:
    """Screens objects; may be shared by threads and pickled to processes.

    Args:
        devices: where known devices print.
        redact: blacken by itself what lies in those places; else a person is asked about each such object.
        deface: faces are removed from head CT and MR later, so that these need not wait for a person.
    """

    def __init__(
        self, *, devices: Sequence[DeviceRule] | None = None, redact: bool = True, deface: bool = False
    ) -> None:
        self._devices = shipped_rules() if devices is None else tuple(devices)
        self._redact = redact
        self._deface = deface

    def screen(self, part10: bytes, identity: Identity) -> Screening:
        """The verdict on a Part 10 file as it was received; what is wrong in it is a verdict, not an error."""
        facts = read_facts(part10)
        return self.by_header(facts) or self.by_reading(part10, facts, identity)

    def by_header(self, facts: PixelFacts) -> Screening | None:
        """The verdict of the header alone, or None where the pixels must be read."""
        if not facts.sound:
            return Screening(Verdict.REFUSED, (ScreeningReason.UNREADABLE_HEADER.value,))
        against = suspicions(facts, deface=self._deface)
        if is_trusted(facts) and not against and not annotation_areas(facts, self._devices):
            return Screening(Verdict.CLEAR)
        return None

    def by_reading(self, part10: bytes, facts: PixelFacts, identity: Identity) -> Screening:
        """The verdict once the pixels were read."""
        return Screening(Verdict.UNCERTAIN, (ScreeningReason.READER_MISSING.value,))
