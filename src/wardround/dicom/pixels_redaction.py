"""Blacken rectangles of an image, and leave every other pixel as it was: the Clean Pixel Data Option (PS3.15 E.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_rewriting import Rewriting
from wardround.dicom.statement import Deidentified

CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")
"""Code value and meaning, scheme DCM (PS3.16 CID 7050)."""
_BURNED_IN = 0x00280301


def redacted(one: Deidentified, boxes: Sequence[Box]) -> Deidentified:
    """A de-identified object with these boxes blackened, and its statement saying so. Raises as `redact` does."""
    if not boxes:
        return one
    rewriting = _redact(one.data, boxes)
    options = tuple(sorted({*one.statement.options, CLEAN_PIXELS[1]}))
    counts = {**one.statement.counts, "blackened": len(set(boxes))}
    statement = replace(one.statement, options=options, counts=counts)
    return replace(one, data=rewriting.part10(), transfer_syntax_uid=rewriting.transfer_syntax, statement=statement)


def redact(part10: bytes, boxes: Sequence[Box]) -> bytes:
    """The object with every sample in `boxes` made black, marked as PS3.15 E.3.1 asks (Burned In Annotation is NO).

    Args:
        part10: a de-identified object.
        boxes: rows and columns of the image as stored; parts of a box that lie beyond the image are left out.

    Raises:
        Refused: the pixels can't be decoded, or aren't as the header says.
        ValueError: a box lies wholly outside of the image, or names a frame that isn't there.
    """
    return part10 if not boxes else _redact(part10, boxes).part10()


def _redact(part10: bytes, boxes: Sequence[Box]) -> Rewriting:
    rewriting = Rewriting(part10)
    rewriting.data = rewriting.layout.blackened(rewriting.data, boxes)
    count = len(set(boxes))
    said = f"Burned-in text removed: {count} area{'s' if count != 1 else ''} set to black"
    rewriting.mark(_BURNED_IN, CLEAN_PIXELS, said)
    return rewriting
