"""Clean the elements of one object, item by item, as the rules say."""

from __future__ import annotations

import struct
from collections import Counter

from wardround.dicom.confidentiality import Action, Rules
from wardround.dicom.deidentify_colour import clean_colour_profile
from wardround.dicom.deidentify_dates import capped_age, is_time, shifted
from wardround.dicom.deidentify_elements import DICTIONARY_VR, DICTIONARY_VRS, Element
from wardround.dicom.deidentify_private import safe_elements
from wardround.dicom.deidentify_text import cleaned_text
from wardround.dicom.deidentify_traces import STANDARD_UIDS, Traces
from wardround.dicom.deidentify_values import (
    FORMS,
    TAG_FORMS,
    TEXT_VRS,
    dummy,
    roi_overlay_groups,
    whole_bytes,
    whole_numbers,
)
from wardround.dicom.pseudonym import PseudonymKeys

_CHARACTER_SET = 0x00080005
_PATIENT_ID = 0x00100020
_SEGMENT_NUMBER = 0x00620004
_SEGMENT_CODES = (0x0062000F, 0x00620003, 0x00082218)
_CODE_MEANING = 0x00080104
_SCHEME = 0x00080102
_CODE_TAGS = frozenset({0x00080100, 0x00080104, 0x00080119, _SCHEME, 0x00080103})
_CONTENT_SEQUENCES = frozenset({0x0040A730, 0x00400555, 0x00400612})
_CONCEPT_NAME, _CODE_VALUE, _CONTENT_DATE, _MEASURED_VALUES = 0x0040A043, 0x00080100, 0x0040A121, 0x0040A300
# Subject ID, birth date and age, and accession number, as content items (PS3.16 TID 1007, TID 1005).
_CONCEPTS_ABOUT_A_PERSON = frozenset({b"121022", b"121029", b"121030", b"121031", b"121033"})


class Cleaner:
    """Cleans one object.

    Args:
        rules: what to do with each tag.
        keys: where new UIDs come from.
        pseudonym: the patient's.
        days: by how much the patient's dates move.
        big_endian: how binary numbers are written.

    ``counts`` tells afterwards how many elements met which action; ``traces`` what must not be found any more.
    """

    def __init__(self, rules: Rules, keys: PseudonymKeys, pseudonym: str, days: int, big_endian: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.traces = Traces(rules)
        self._rules = rules
        self._keys = keys
        self._pseudonym = pseudonym.encode()
        self._days = days
        self._order = ">" if big_endian else "<"
        self._gathered = False

    def clean(self, elements: list[Element], top: bool = True, character_set: bytes = b"") -> list[Element]:
        """A new list of elements, each cleaned or left out; ``elements`` isn't changed.

        Args:
            top: whether they are the object's own, not those of an item.
            character_set: the Specific Character Set that holds around them.
        """
        kept = []
        rules = self._rules
        character_set = _character_set(elements, character_set)
        if top and rules.cleans_text:
            # Words are compared with every name of the object, those behind them too.
            for element in elements:
                self._remember(element, character_set)
            self._gathered = True
        trusted = self._trusted_scheme(elements)
        private, creators = safe_elements(elements, rules.safe_private) if rules.safe_private else ({}, frozenset())
        regions = roi_overlay_groups(elements, self._order) if rules.overlays and top else frozenset()
        for element in elements:
            tag = element.tag
            action = rules.action(tag)
            if not self._gathered:
                self._remember(element, character_set)
            if tag >> 24 == 0x60 and tag >> 16 not in regions:
                action = Action.REMOVE
            if action is Action.REMOVE:
                safe = self._private(element, private, creators) if tag in private or tag in creators else None
                if safe is not None:
                    kept.append(safe)
                    self.counts["private_kept"] += 1
                else:
                    self.counts["private" if tag >> 16 & 1 else "removed"] += 1
                continue
            vr = self._settled_vr(element)
            if vr is None:
                self.counts["removed"] += 1
                continue
            cleaned = self._treat(action, element, vr, elements, top, trusted, character_set)
            if cleaned is None:
                self.counts["removed"] += 1
            else:
                kept.append(cleaned)
        return kept

    def _treat(
        self,
        action: Action,
        element: Element,
        vr: bytes,
        around: list[Element],
        top: bool,
        trusted: bool,
        character_set: bytes,
    ) -> Element | None:
        tag, value = element.tag, element.value
        if action is Action.EMPTY:
            self.counts["emptied"] += 1
            return Element(tag, vr, [] if vr == b"SQ" else b"")
        if not isinstance(value, bytes):
            if action is not Action.RECURSE:
                return None
            items = [self.clean(item, False, character_set) for item in value]
            if tag in _CONTENT_SEQUENCES:
                items = [_impersonal(item) for item in items]
            return Element(tag, vr, items)
        if action is Action.RECURSE:
            return None
        if action is Action.KEEP_BYTES:
            if not top:
                return None
            self.counts["kept"] += 1
            return Element(tag, vr, value, element.encapsulated)
        if action is Action.CLEAN_TEXT:
            text = cleaned_text(value, self.traces.identifies)
            if text or not value.strip(b" \0"):
                self.traces.kept_text(text, character_set)
                self.counts["kept" if text == value.strip(b" \0") else "cleaned"] += 1
                return Element(tag, vr, text)
            action = self._rules.fallbacks[tag]
            if action is Action.REMOVE:
                return None
            self.counts["cleaned"] += 1
            return Element(tag, vr, b"" if action is Action.EMPTY else dummy(vr))
        new, count = self._value(action, tag, vr, value, around, top, trusted, character_set)
        self.counts[count] += 1
        return Element(tag, vr, new)

    def _value(
        self,
        action: Action,
        tag: int,
        vr: bytes,
        value: bytes,
        around: list[Element],
        top: bool,
        trusted: bool,
        character_set: bytes,
    ) -> tuple[bytes, str]:
        if action is Action.KEEP:
            return self._kept(tag, vr, value)
        if action is Action.UID:
            return b"\\".join(self._uid(part) for part in value.split(b"\\")), "remapped"
        if action is Action.SHIFT:
            moved = shifted(value, vr, self._days)
            return (b"", "emptied") if moved is None else (moved, "shifted" if self._days else "kept")
        if action is Action.TIME:
            if not is_time(value):
                return b"", "emptied"
            self.traces.kept_number(value)
            return value, "kept"
        if action is Action.KEEP_TEXT:
            if tag in _CODE_TAGS and not trusted:
                return (b"99WARDROUND" if tag == _SCHEME else b"REMOVED"), "replaced"
            if tag in TAG_FORMS and not TAG_FORMS[tag].match(value):
                return b"", "emptied"
            self.traces.kept_text(value, character_set)
            return value, "kept"
        if action is Action.KEEP_BYTES_ANYWHERE:
            if not whole_bytes(vr, value):
                return b"", "emptied"
            self.traces.kept_binary(value)
            return value, "kept"
        if action is Action.COLOUR_PROFILE:
            colours = clean_colour_profile(value)
            return (b"", "emptied") if colours is None else (colours, "cleaned")
        if action is Action.AGE:
            age = capped_age(value, self._rules.cap_ages)
            return (b"", "emptied") if age is None else (age, "kept" if age == value.strip(b" \0") else "capped")
        if action is Action.PATIENT_NAME:
            return (self._pseudonym, "replaced") if top else (b"", "emptied")
        if action is Action.PATIENT_ID:
            return (self._pseudonym if top else b"REMOVED"), "replaced"
        if action is Action.SEGMENT_LABEL:
            return self._segment_label(value, around)
        return dummy(vr), "replaced"

    def _kept(self, tag: int, vr: bytes, value: bytes) -> tuple[bytes, str]:
        """``value`` if it has the form of its VR and, where they are listed, is one of the attribute's terms."""
        form, terms = FORMS.get(vr), self._rules.terms.get(tag)
        if terms is not None and value.strip(b" \0") not in terms:
            return b"", "emptied"
        if form is not None:
            if not form.match(value):
                return b"", "emptied"
            if vr in (b"CS", b"UI"):
                self.traces.kept_text(value)
            else:
                self.traces.kept_number(value)
        elif not whole_numbers(tag, vr, value):
            return b"", "emptied"
        else:
            self.traces.kept_binary(value)
        return value, "kept"

    def _uid(self, part: bytes) -> bytes:
        uid = part.strip(b" \0")
        if not uid or uid in STANDARD_UIDS:
            return uid
        self.traces.uid(uid)
        return self._keys.uid(uid.decode("latin-1")).encode()

    def _segment_label(self, value: bytes, around: list[Element]) -> tuple[bytes, str]:
        label = value.strip(b" \0").lower()
        if label in self._rules.segment_labels or label in self._segment_meanings(around):
            self.traces.kept_text(value)
            return value, "kept"
        number = 0
        for element in around:
            if element.tag == _SEGMENT_NUMBER and isinstance(element.value, bytes) and len(element.value) == 2:
                (number,) = struct.unpack(self._order + "H", element.value)
        return b"Segment %d" % number, "replaced"

    def _segment_meanings(self, around: list[Element]) -> set[bytes]:
        """Meanings of the standard codes that this segment carries, in lower case."""
        meanings = set()
        for element in around:
            if element.tag not in _SEGMENT_CODES or isinstance(element.value, bytes):
                continue
            for item in element.value:
                if self._trusted_scheme(item):
                    meanings |= {
                        part.value.strip(b" \0").lower()
                        for part in item
                        if part.tag == _CODE_MEANING and isinstance(part.value, bytes)
                    }
        return meanings

    def _trusted_scheme(self, elements: list[Element]) -> bool:
        """Whether an item is a code of a scheme that is published, not one of the hospital's own."""
        for element in elements:
            if element.tag == _SCHEME and isinstance(element.value, bytes):
                return element.value.strip(b" \0") in self._rules.coding_schemes
            if element.tag > _SCHEME:
                break
        return False

    def _private(self, element: Element, safe: dict[int, bytes], creators: frozenset[int]) -> Element | None:
        """A private element that is listed as safe, or the creator of its block; None if its value is no such thing."""
        value = element.value
        if not isinstance(value, bytes):
            return None
        if element.tag in creators:
            return Element(element.tag, b"LO", value)
        vr = safe[element.tag]
        new, count = self._kept(element.tag, vr, value)
        return Element(element.tag, vr, new) if count == "kept" else None

    def _remember(self, element: Element, character_set: bytes) -> None:
        """Note what identifies, at whatever depth and whatever becomes of it."""
        value = element.value
        if isinstance(value, bytes):
            if element.vr == b"PN" or DICTIONARY_VR.get(element.tag) == b"PN":
                self.traces.name(value, character_set)
            elif element.tag in self._rules.identifying:
                self.traces.identifier(value, patient=element.tag == _PATIENT_ID)
        elif self._rules.cleans_text or self._rules.action(element.tag) is not Action.RECURSE:
            for item in value:
                inside = _character_set(item, character_set)
                for inner in item:
                    self._remember(inner, inside)

    def _settled_vr(self, element: Element) -> bytes | None:
        """The VR to write, or None if what the file says can't be what the dictionary says."""
        allowed = DICTIONARY_VRS[element.tag]
        if element.vr in allowed:
            return element.vr
        expected = DICTIONARY_VR[element.tag]
        if expected == b"SQ" or element.vr == b"SQ":
            return None
        if element.vr == b"UN" and (self._order == "<" or expected in TEXT_VRS):
            return expected
        return expected if element.vr in TEXT_VRS and expected in TEXT_VRS else None


def _character_set(elements: list[Element], around: bytes) -> bytes:
    """The Specific Character Set of a data set or item, or the one that holds around it (PS3.3 C.12.1.1.2)."""
    for element in elements:
        if element.tag >= _CHARACTER_SET:
            if element.tag == _CHARACTER_SET and isinstance(element.value, bytes):
                return element.value
            break
    return around


def _impersonal(item: list[Element]) -> list[Element]:
    """A content item as it is, or without its value if its concept is one about a person."""
    for element in item:
        if element.tag == _CONCEPT_NAME and not isinstance(element.value, bytes):
            codes = {
                part.value.strip(b" \0")
                for code in element.value
                for part in code
                if part.tag == _CODE_VALUE and isinstance(part.value, bytes)
            }
            if codes & _CONCEPTS_ABOUT_A_PERSON:
                break
    else:
        return item
    return [
        Element(part.tag, part.vr, dummy(part.vr))
        if part.tag == _CONTENT_DATE
        else Element(part.tag, part.vr, [])
        if part.tag == _MEASURED_VALUES
        else part
        for part in item
    ]
