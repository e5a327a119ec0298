"""Whether an image's pixels may show who the patient is.

Works on the original object, whose header says what to look for. Nothing of the text that is found leaves: only
verdicts, codes and boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_facts import PixelFacts, read_facts
from wardround.dicom.pixels_matching import Identifiers
from wardround.dicom.pixels_reading import Undecodable, pictures, sampled
from wardround.dicom.pixels_rules import (
    DeviceRule,
    ScreeningReason,
    annotation_areas,
    is_trusted,
    shipped_rules,
    suspicions,
)
from wardround.dicom.pixels_text import ReaderFailed, ReaderMissing, TextReader, Word
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
        devices: where known devices print; those of this package if not given.
        redact: blacken by itself what lies in those places; else a person is asked about each such object.
        deface: faces are removed from head CT and MR later, so that these need not wait for a person.
        reader: what reads text.
    """

    def __init__(
        self,
        *,
        devices: Sequence[DeviceRule] | None = None,
        redact: bool = True,
        deface: bool = False,
        reader: TextReader | None = None,
    ) -> None:
        self._devices = shipped_rules() if devices is None else tuple(devices)
        self._redact = redact
        self._deface = deface
        self._reader = reader or TextReader()

    def ready(self) -> bool:
        """Whether text can be read on this machine. Where it can't, all that isn't clear by its header waits for a
        person; a program says so once, at its start."""
        return self._reader.available()

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
        reasons = set(suspicions(facts, deface=self._deface))
        frames: tuple[int, ...] = ()
        text: tuple[Word, ...] = ()
        named: tuple[Word, ...] = ()
        try:
            frames = sampled(facts.frames)
            found = Identifiers(identity).sift(self._reader.words(pictures(part10, facts)))
            text, named = found.text, found.named
        except Undecodable:
            reasons.add(ScreeningReason.UNDECODABLE)
        except ReaderMissing:
            reasons.add(ScreeningReason.READER_MISSING)
        except ReaderFailed:
            reasons.add(ScreeningReason.READER_FAILED)
        if reasons & _NOT_READ:
            frames = ()
        known = annotation_areas(facts, self._devices)
        left = [word for word in text if not _covered(word.box, known)]
        # Print that was read where the device is known to print explains its own word "YES"; nothing else does.
        unexplained = reasons - {ScreeningReason.BURNED_IN} if text else reasons
        if known and self._redact and not left and not unexplained:
            return Screening(Verdict.REDACT, (), frames, known)
        if named:
            reasons.add(ScreeningReason.IDENTIFIER_IN_PIXELS)
        if text:
            reasons.add(ScreeningReason.TEXT_IN_PIXELS)
        elif known and not reasons:
            reasons.add(ScreeningReason.ANNOTATION_AREA)
        if not reasons:
            return Screening(Verdict.CLEAR, (), frames)
        boxes = (*known, *_merged(word.box for word in text))
        return Screening(Verdict.UNCERTAIN, _in_order(reasons), frames, boxes)


def screen(part10: bytes, identity: Identity, *, screener: Screener | None = None) -> Screening:
    """The verdict on one object, with the rules of this package if no other screener is given."""
    return (screener or Screener()).screen(part10, identity)


_NOT_READ = frozenset({ScreeningReason.UNDECODABLE, ScreeningReason.READER_MISSING, ScreeningReason.READER_FAILED})


def _in_order(reasons: Iterable[ScreeningReason]) -> tuple[str, ...]:
    gravest = list(ScreeningReason)
    return tuple(reason.value for reason in sorted(reasons, key=gravest.index))


def _covered(box: Box, known: Iterable[Box]) -> bool:
    """Whether a box lies within areas that are blackened, but for the pixels that reading adds around a word."""
    inner = (box.row + 2, box.column + 2, box.row + box.height - 2, box.column + box.width - 2)
    return any(
        area.frame in (None, box.frame)
        and area.row <= inner[0]
        and area.column <= inner[1]
        and inner[2] <= area.row + area.height
        and inner[3] <= area.column + area.width
        for area in known
    )


def _merged(boxes: Iterable[Box]) -> list[Box]:
    """Boxes of the same frame that overlap as one: the same word is found in several layers."""
    merged: list[Box] = []
    for new in sorted(boxes, key=lambda box: (box.frame or 0, box.row, box.column)):
        box = new
        apart: list[Box] = []
        for old in merged:
            if old.frame == box.frame and _overlap(old, box):
                box = _around(old, box)
            else:
                apart.append(old)
        merged = [*apart, box]
    return sorted(merged, key=lambda box: (box.frame or 0, box.row, box.column))


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.row < other.row + other.height
        and other.row < one.row + one.height
        and one.column < other.column + other.width
        and other.column < one.column + one.width
    )


def _around(one: Box, other: Box) -> Box:
    row, column = min(one.row, other.row), min(one.column, other.column)
    bottom = max(one.row + one.height, other.row + other.height)
    right = max(one.column + one.width, other.column + other.width)
    return Box(row, column, bottom - row, right - column, one.frame)
