"""Whom an original names, by every identifier that it gives: what opt-outs are matched with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wardround.dicom.deidentify_elements import Element
from wardround.dicom.statement import Identity
from wardround.node.optout.identifier import PatientIds

_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_OTHER_IDS, _OTHER_IDS_SEQUENCE = 0x00101000, 0x00101002
_LONGEST = 64
_MOST = 32


def patient_ids(elements: Mapping[int, Element], identity: Identity | None = None) -> PatientIds:
    """Patient ID (0010,0020) with its issuer, Other Patient IDs (0010,1000) and those of the Other Patient IDs
    Sequence (0010,1002) (PS3.3 C.2.2 and C.2.3).

    Args:
        elements: the top level of an original, by tag.
        identity: what the de-identifier read of it, in the object's own character set.
    """
    first = (_text(elements.get(_PATIENT_ID)), _text(elements.get(_ISSUER)))
    if identity is not None:
        first = (identity.patient_id, identity.issuer)
    found = dict.fromkeys((text[:_LONGEST], by[:_LONGEST]) for text, by in (first, *_others(elements)) if text)
    return PatientIds(tuple(found)[:_MOST])


def _others(elements: Mapping[int, Element]) -> Iterator[tuple[str, str]]:
    for text in _text(elements.get(_OTHER_IDS)).split("\\"):
        yield text, ""
    sequence = elements.get(_OTHER_IDS_SEQUENCE)
    if sequence is not None and not isinstance(sequence.value, bytes):
        for item in sequence.value:
            of = {element.tag: element for element in item}
            yield _text(of.get(_PATIENT_ID)), _text(of.get(_ISSUER))


def _text(element: Element | None) -> str:
    if element is None or not isinstance(element.value, bytes):
        return ""
    return element.value.decode("utf-8", "replace").strip(" \0")
