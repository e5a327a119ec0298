"""Which attribute is treated how: PS3.15 Annex E as a table, for a chosen profile.

The table (``data/confidentiality.json``, its edition inside) states DICOM's actions;
``data/deidentification_scope.json`` states what this project keeps beyond it, and what an object of an accepted class
can't do without. :class:`Rules` joins the two into one action per tag. An attribute that neither the DICOM dictionary
nor these tables know is removed.
"""

from __future__ import annotations

import json
from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import Any

from pydicom.datadict import tag_for_keyword

from wardround.dicom.confidentiality_classes import Fate, class_decisions
from wardround.dicom.confidentiality_profile import BASIC_CODE, Option, Profile, SafeElement
from wardround.dicom.deidentify_elements import DICTIONARY_VR, OVERLAY_GROUPS
from wardround.dicom.dictionary import ELEMENTS

__all__ = ["BASIC_CODE", "Action", "Option", "Profile", "Rules", "confidentiality_table", "rules"]


class Action(IntEnum):
    """What happens to an attribute. The letters are those of Table E.1-1 where it has one."""

    REMOVE = 0  # X
    EMPTY = 1  # Z
    DUMMY = 2  # D
    UID = 3  # U
    SHIFT = 4  # C of the modified dates option, K of the full dates option
    KEEP = 5  # K, if the value has the form of its value representation
    KEEP_TEXT = 6  # K, text that this project lists or that an option retains
    KEEP_BYTES = 7  # K, bytes that this project lists, at the top level only
    RECURSE = 8  # a sequence: each item is cleaned
    AGE = 9
    PATIENT_NAME = 10
    PATIENT_ID = 11
    SEGMENT_LABEL = 12
    TIME = 13
    CLEAN_TEXT = 14  # C: words that are known stay
    KEEP_BYTES_ANYWHERE = 15
    COLOUR_PROFILE = 16  # an ICC profile: its numbers stay


_FREE_TEXT = frozenset({b"LO", b"SH", b"ST", b"LT", b"UT", b"UC", b"UR", b"AE", b"PN"})
_CLEANABLE = frozenset({b"LO", b"SH", b"ST", b"LT", b"UT", b"UC"})
_BYTES = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN"})
_DATES = frozenset({b"DA", b"DT", b"TM"})
_SPECIAL = {
    0x00100010: Action.PATIENT_NAME,
    0x00100020: Action.PATIENT_ID,
    0x00620005: Action.SEGMENT_LABEL,
    0x00282000: Action.COLOUR_PROFILE,
}
# Written anew for each object; a deleted group length is optional (PS3.5 7.2).
_REWRITTEN = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})
# Describes private blocks (PS3.3 C.12.1.1.7), of which few or none are left.
_PRIVATE_CHARACTERISTICS = 0x00080300
_DATE_COLUMNS = ("full_dates", "modified_dates")
_PATTERNS = {"50xxxxxx", "60xx3000", "60xx4000", "private"}
_OVERLAY_PARTS = {
    **dict.fromkeys((0x0010, 0x0011, 0x0015, 0x0040, 0x0050, 0x0051, 0x0100, 0x0102), Action.KEEP),
    **dict.fromkeys((0x0045, 0x1301, 0x1302, 0x1303), Action.KEEP),
    0x3000: Action.KEEP_BYTES,
}


class Rules:
    """One action per tag for a profile.

    Built once per profile by :func:`rules`; ``edition`` names the edition of DICOM that the table holds.
    """

    def __init__(self, profile: Profile, table: dict[str, Any], scope: dict[str, Any], safe: dict[str, Any]) -> None:
        options = profile.options
        self.edition: str = table["edition"]
        self.sop_classes = frozenset(
            decision.uid
            for decision in class_decisions()
            if decision.fate is Fate.PASS or (decision.fate is Fate.ACCEPT and decision.kind in profile.accept)
        )
        self.transfer_syntaxes = frozenset(scope["transfer_syntaxes"])
        self.refused_image_types = frozenset(scope["refused_image_types"])
        self.coding_schemes = frozenset(scheme.encode() for scheme in scope["coding_schemes"])
        self.segment_labels = frozenset(label.encode() for label in scope["segment_labels"])
        self.cap_ages = profile.cap_ages
        self.retains_uids = Option.UIDS in options
        self.shifts = Option.MODIFIED_DATES in options
        self.dated = self.shifts or Option.FULL_DATES in options
        self.overlays = Option.CLEAN_GRAPHICS in options
        self.terms = {
            tag: frozenset(term.encode() for term in terms)
            for keyword, terms in scope["terms"].items()
            for tag in _tags([keyword])
        }
        self.vocabulary = frozenset(word.encode() for word in scope["vocabulary"])
        self.safe_private = _safe_elements(profile, safe)
        self.fallbacks: dict[int, Action] = {}
        self._actions = self._resolved(options, table["attributes"], scope)
        self.cleans_text = Action.CLEAN_TEXT in self._actions.values()
        # What an option retains is no longer looked for in the result.
        self.identifying = frozenset(
            tag for tag in _tags(scope["identifying"]) if self.action(tag) is not Action.KEEP_TEXT
        )

    def action(self, tag: int) -> Action:
        """What to do with ``tag``; :attr:`Action.REMOVE` for all that is private or unknown."""
        return self._actions.get(tag, Action.REMOVE)

    def tags(self) -> list[int]:
        """All tags that aren't removed."""
        return [tag for tag, action in self._actions.items() if action is not Action.REMOVE]

    def _resolved(
        self, options: frozenset[Option], attributes: dict[str, str], scope: dict[str, Any]
    ) -> dict[int, Action]:
        """The action of each tag that the dictionary knows."""
        columns = {option.column for option in options} - {""}
        resolved: dict[str, str] = scope["resolved"]
        listed = {int(tag, 16): row for tag, row in attributes.items() if tag not in _PATTERNS}
        chosen = {
            **dict.fromkeys(_tags(scope["text_kept"]), Action.KEEP_TEXT),
            **dict.fromkeys(_tags(scope["text_emptied"]), Action.EMPTY),
            **dict.fromkeys(_tags(scope["text_replaced"]), Action.DUMMY),
            **dict.fromkeys(_tags(scope["bytes_kept"]), Action.KEEP_BYTES),
            **dict.fromkeys(_tags(scope["bytes_kept_anywhere"]), Action.KEEP_BYTES_ANYWHERE),
        }
        required = {
            **dict.fromkeys(_tags(scope["required"]), Action.EMPTY),
            **dict.fromkeys(_tags(scope["required_values"]), Action.DUMMY),
        }
        actions: dict[int, Action] = {}
        for tag, vr in DICTIONARY_VR.items():
            row = listed.get(tag)
            if row is not None:
                actions[tag] = self._listed(tag, vr, row, resolved.get(f"{tag:08x}"), columns)
            elif tag in chosen:
                actions[tag] = chosen[tag]
            else:
                actions[tag] = self._unlisted(vr)
            if actions[tag] is Action.REMOVE and tag in required:
                actions[tag] = required[tag]
        actions |= _SPECIAL
        # Says something about what is removed, and may not stand without it.
        actions |= dict.fromkeys(_tags(scope["not_alone"]), Action.REMOVE)
        for tag in list(actions):
            group = tag >> 16
            if (
                group <= 0x0006
                or group & 1
                or tag & 0xFFFF == 0
                or tag in _REWRITTEN
                or tag == _PRIVATE_CHARACTERISTICS
                or 0x5000 <= group <= 0x50FF
                or 0x6000 <= group <= 0x60FF
            ):
                del actions[tag]
        if self.overlays:
            for group in OVERLAY_GROUPS:
                actions |= {group << 16 | part: action for part, action in _OVERLAY_PARTS.items()}
        return actions

    def _listed(self, tag: int, vr: bytes, row: str, resolved: str | None, columns: set[str]) -> Action:
        """The action of a row of the table: that of a chosen option, else the Basic Profile's."""
        basic, *others = row.split(" ")
        by_option = dict(other.split(":") for other in others)
        plain = _plain(resolved or basic, vr)
        if basic == "D" and by_option.keys() & {"structured", "graphics"}:
            plain = Action.EMPTY
        # A date of a device is a date first.
        for column, letter in sorted(by_option.items(), key=lambda each: each[0] not in _DATE_COLUMNS):
            if column not in columns:
                continue
            if column in _DATE_COLUMNS:
                found = self._dated(vr, letter, plain)
            elif column == "patient":
                found = self._characteristic(tag, vr, plain, "descriptors" in columns)
            elif letter == "C":
                found = self._cleaned(tag, vr, plain)
            else:
                found = _retained(vr, plain)
            if found is not plain:
                return found
        return plain

    def _dated(self, vr: bytes, letter: str, plain: Action) -> Action:
        if vr in _DATES:
            return Action.TIME if vr == b"TM" else Action.SHIFT
        # A time zone tells the region; where dates are moved, it goes.
        return Action.KEEP_TEXT if letter == "K" and vr == b"SH" else plain

    def _characteristic(self, tag: int, vr: bytes, plain: Action, descriptors: bool) -> Action:
        if vr == b"AS":
            return Action.AGE
        if vr not in _FREE_TEXT:
            return Action.KEEP
        # Free text about a person stays only as far as its words are known.
        return self._cleaned(tag, vr, plain) if descriptors else plain

    def _cleaned(self, tag: int, vr: bytes, plain: Action) -> Action:
        if vr == b"SQ":
            return Action.RECURSE
        if vr not in _CLEANABLE:
            return plain
        self.fallbacks[tag] = plain
        return Action.CLEAN_TEXT

    def _unlisted(self, vr: bytes) -> Action:
        if vr == b"SQ":
            return Action.RECURSE
        if vr == b"UI":
            return Action.KEEP if self.retains_uids else Action.UID
        if vr in _FREE_TEXT or vr in _BYTES:
            return Action.REMOVE
        if vr in _DATES:
            if not self.dated:
                return Action.REMOVE
            return Action.TIME if vr == b"TM" else Action.SHIFT
        return Action.AGE if vr == b"AS" else Action.KEEP


@cache
def rules(profile: Profile) -> Rules:
    """The rules of ``profile``, read from the package's tables once."""
    return Rules(
        profile, _table("confidentiality.json"), _table("deidentification_scope.json"), _table("safe_private.json")
    )


def confidentiality_table() -> dict[str, str]:
    """Table E.1-1 as shipped: tag pattern to its action and options."""
    attributes: dict[str, str] = _table("confidentiality.json")["attributes"]
    return attributes


@cache
def _table(name: str) -> dict[str, Any]:
    text = files("wardround.dicom").joinpath("data", name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _plain(action: str, vr: bytes) -> Action:
    """The action of the Basic Profile; of several, the one that leaves a valid object wherever it is required."""
    if vr == b"SQ":
        if "U" in action or action == "D":
            return Action.RECURSE
        return Action.EMPTY if "Z" in action else Action.REMOVE
    if vr == b"UI":
        return Action.REMOVE if action == "X" else Action.UID
    if vr == b"PN" and "Z" in action:
        return Action.EMPTY
    if "D" in action:
        return Action.DUMMY
    return Action.EMPTY if "Z" in action else Action.REMOVE


def _retained(vr: bytes, plain: Action) -> Action:
    """K of an option."""
    if vr == b"SQ":
        return Action.RECURSE
    # What belongs to a device keeps its dates only where an option for dates says how.
    if vr in _DATES or vr in _BYTES:
        return plain
    return Action.KEEP_TEXT if vr in _FREE_TEXT else Action.KEEP


def _safe_elements(profile: Profile, safe: dict[str, Any]) -> dict[tuple[bytes, int], bytes]:
    """Private creator and group with element (block left out) to value representation."""
    if Option.SAFE_PRIVATE not in profile.options:
        return {}
    shipped = (
        SafeElement(creator, element, vr)
        for creator, elements in safe["elements"].items()
        for element, vr in elements.items()
    )
    return {
        (each.creator.encode(), int(each.element.replace("xx", "00"), 16)): each.vr.encode()
        for each in (*shipped, *profile.safe_private)
    }


def _tags(keywords: list[str]) -> frozenset[int]:
    tags = set()
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in ELEMENTS:
            raise ValueError(f"data/deidentification_scope.json names an unknown attribute: {keyword}")
        tags.add(tag)
    return frozenset(tags)
