"""Whom an original names, by every identifier that it gives: what opt-outs are matched with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

from wardround.dicom.deidentify_elements import Element, ElementReader, Encoding, malformed
from wardround.dicom.pixels_facts import BIG_ENDIAN, IMPLICIT, data_set_bytes
from wardround.dicom.statement import Identity
from wardround.node.optout.identifier import PatientIds

_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_OTHER_IDS, _OTHER_IDS_SEQUENCE = 0x00101000, 0x00101002
_MARKS = (b"\x10\0\0\x10", b"\x10\0\x02\x10", b"\0\x10\x10\0", b"\0\x10\x10\x02")
"""The tags of other patient ids as they stand in a file, in either byte order."""
_LONGEST = 64
_MOST = 32


def patient_ids(part10: bytes, identity: Identity) -> PatientIds:
    """Patient ID (0010,0020) with its issuer, Other Patient IDs (0010,1000) and those of the Other Patient IDs
    Sequence (0010,1002) (PS3.3 C.2.2 and C.2.3).

    Args:
        part10: the original, which the de-identifier has accepted.
        identity: what it read of it.

    Raises:
        Refused: the original can't be read.
    """
    data, syntax = data_set_bytes(part10)
    ids = [(identity.patient_id, identity.issuer)]
    # Few objects have other ids, and reading all elements takes long: the tag's own bytes must be there.
    if any(mark in data for mark in _MARKS):
        ids += _others(_elements(data, syntax))
    return _few(ids)


def read_patient_ids(part10: bytes) -> PatientIds:
    """The same of an object of which nothing was read yet, accepted or not.

    Raises:
        Refused: it can't be read.
    """
    try:
        elements = _elements(*data_set_bytes(part10))
    except zlib.error:
        raise malformed("the deflated data set can't be inflated") from None
    return _few([(_text(elements.get(_PATIENT_ID)), _text(elements.get(_ISSUER))), *_others(elements)])


def _elements(data: bytes, syntax: str) -> dict[int, Element]:
    encoding = Encoding(syntax == IMPLICIT, syntax == BIG_ENDIAN)
    return {element.tag: element for element in ElementReader(data, encoding).data_set(0, len(data))}


def _others(elements: Mapping[int, Element]) -> Iterator[tuple[str, str]]:
    for text in _text(elements.get(_OTHER_IDS)).split("\\"):
        yield text, ""
    sequence = elements.get(_OTHER_IDS_SEQUENCE)
    if sequence is not None and not isinstance(sequence.value, bytes):
        for item in sequence.value:
            of = {element.tag: element for element in item}
            yield _text(of.get(_PATIENT_ID)), _text(of.get(_ISSUER))


def _few(ids: Iterable[tuple[str, str]]) -> PatientIds:
    kept = dict.fromkeys((text[:_LONGEST], issuer[:_LONGEST]) for text, issuer in ids if text)
    return PatientIds(tuple(kept)[:_MOST])


def _text(element: Element | None) -> str:
    if element is None or not isinstance(element.value, bytes):
        return ""
    return element.value.decode("utf-8", "replace").strip(" \0")
