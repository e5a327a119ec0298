"""Clean the elements of one object, item by item, as the rules say."""

from __future__ import annotations

import re
import struct
from collections import Counter

from wardround.dicom.confidentiality import Action, Rules
from wardround.dicom.deidentify_dates import capped_age, is_time, shifted
from wardround.dicom.deidentify_elements import DICTIONARY_COUNT, DICTIONARY_VR, DICTIONARY_VRS, Element
from wardround.dicom.deidentify_traces import STANDARD_UIDS, Traces
from wardround.dicom.pseudonym import PseudonymKeys

_TEXT = frozenset(
    {b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM", b"UC", b"UI", b"UR"}
    | {b"UT"}
)
_SIZES = {b"US": 2, b"SS": 2, b"OW": 2, b"AT": 4, b"UL": 4, b"SL": 4, b"FL": 4, b"FD": 8, b"UV": 8, b"SV": 8}
_FORMS = {
    b"CS": re.compile(rb"[A-Za-z0-9_ \\]*\0?$"),
    b"DS": re.compile(rb"[0-9+\-.eE \\]*\0?$"),
    b"IS": re.compile(rb"[0-9+\- \\]*\0?$"),
}
_DUMMIES = {
    b"DA": b"19000101",
    b"DT": b"19000101000000",
    b"TM": b"000000",
    b"DS": b"0",
    b"IS": b"0",
    b"AS": b"000Y",
    b"UR": b"urn:removed",
    b"OB": b"\0\0",
    b"UN": b"\0\0",
}
_PATIENT_ID = 0x00100020
_SEGMENT_NUMBER = 0x00620004
_SEGMENT_CODES = (0x0062000F, 0x00620003, 0x00082218)
_CODE_MEANING = 0x00080104
_SCHEME = 0x00080102
_CODE_TAGS = frozenset({0x00080100, 0x00080104, 0x00080119, _SCHEME, 0x00080103})


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

    def clean(self, elements: list[Element], top: bool = True) -> list[Element]:
        """A new list of elements, each cleaned or left out; ``elements`` isn't changed."""
        kept = []
        trusted = self._trusted_scheme(elements)
        for element in elements:
            tag = element.tag
            action = self._rules.action(tag)
            self._remember(element)
            if action is Action.REMOVE:
                self.counts["private" if tag >> 16 & 1 else "removed"] += 1
                continue
            vr = self._settled_vr(element)
            if vr is None:
                self.counts["removed"] += 1
                continue
            cleaned = self._treat(action, element, vr, elements, top, trusted)
            if cleaned is None:
                self.counts["removed"] += 1
            else:
                kept.append(cleaned)
        return kept

    def _treat(
        self, action: Action, element: Element, vr: bytes, around: list[Element], top: bool, trusted: bool
    ) -> Element | None:
        tag, value = element.tag, element.value
        if action is Action.EMPTY:
            self.counts["emptied"] += 1
            return Element(tag, vr, [] if vr == b"SQ" else b"")
        if not isinstance(value, bytes):
            if action is not Action.RECURSE:
                return None
            return Element(tag, vr, [self.clean(item, top=False) for item in value])
        if action is Action.RECURSE:
            return None
        if action is Action.KEEP_BYTES:
            if not top:
                return None
            self.counts["kept"] += 1
            return Element(tag, vr, value, element.encapsulated)
        new, count = self._value(action, tag, vr, value, around, top, trusted)
        self.counts[count] += 1
        return Element(tag, vr, new)

    def _value(
        self, action: Action, tag: int, vr: bytes, value: bytes, around: list[Element], top: bool, trusted: bool
    ) -> tuple[bytes, str]:
        if action is Action.KEEP:
            return self._kept(tag, vr, value)
        if action is Action.UID:
            return b"\\".join(self._uid(part) for part in value.split(b"\\")), "remapped"
        if action is Action.SHIFT:
            moved = shifted(value, vr, self._days)
            return (b"", "emptied") if moved is None else (moved, "shifted")
        if action is Action.TIME:
            if not is_time(value):
                return b"", "emptied"
            self.traces.kept_number(value)
            return value, "kept"
        if action is Action.KEEP_TEXT:
            if tag in _CODE_TAGS and not trusted:
                return (b"99WARDROUND" if tag == _SCHEME else b"REMOVED"), "replaced"
            self.traces.kept_text(value)
            return value, "kept"
        if action is Action.AGE:
            age = capped_age(value)
            return (b"", "emptied") if age is None else (age, "kept")
        if action is Action.PATIENT_NAME:
            return (self._pseudonym, "replaced") if top else (b"", "emptied")
        if action is Action.PATIENT_ID:
            return (self._pseudonym if top else b"REMOVED"), "replaced"
        if action is Action.SEGMENT_LABEL:
            return self._segment_label(value, around)
        return _DUMMIES.get(vr, b"REMOVED" if vr in _TEXT else b""), "replaced"

    def _kept(self, tag: int, vr: bytes, value: bytes) -> tuple[bytes, str]:
        """``value`` if it has the form of its VR and, where they are listed, is one of the attribute's terms."""
        form, terms = _FORMS.get(vr), self._rules.terms.get(tag)
        if terms is not None and value.strip(b" \0") not in terms:
            return b"", "emptied"
        if form is not None:
            if not form.match(value):
                return b"", "emptied"
            if vr == b"CS":
                self.traces.kept_text(value)
            else:
                self.traces.kept_number(value)
        elif not _whole_numbers(tag, vr, value):
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

    def _remember(self, element: Element) -> None:
        """Note what identifies, at whatever depth and whatever becomes of it."""
        value = element.value
        if isinstance(value, bytes):
            if element.vr == b"PN" or DICTIONARY_VR.get(element.tag) == b"PN":
                self.traces.name(value)
            elif element.tag in self._rules.identifying:
                self.traces.identifier(value, patient=element.tag == _PATIENT_ID)
        elif self._rules.action(element.tag) is not Action.RECURSE:
            for item in value:
                for inner in item:
                    self._remember(inner)

    def _settled_vr(self, element: Element) -> bytes | None:
        """The VR to write, or None if what the file says can't be what the dictionary says."""
        allowed = DICTIONARY_VRS[element.tag]
        if element.vr in allowed:
            return element.vr
        expected = DICTIONARY_VR[element.tag]
        if expected == b"SQ" or element.vr == b"SQ":
            return None
        if element.vr == b"UN" and (self._order == "<" or expected in _TEXT):
            return expected
        return expected if element.vr in _TEXT and expected in _TEXT else None


def _whole_numbers(tag: int, vr: bytes, value: bytes) -> bool:
    """Whether ``value`` is as many binary numbers as the attribute takes, or none."""
    size = _SIZES.get(vr)
    if size is None or len(value) % size:
        return False
    count = DICTIONARY_COUNT.get(tag)
    return not value or count is None or len(value) == count * size
