"""Which attribute is treated how: PS3.15 Annex E as a table, for a chosen profile.

The table (``data/confidentiality.json``, its edition inside) states DICOM's actions;
``data/deidentification_scope.json`` states what this project accepts and keeps beyond it. :class:`Rules` joins the
two into one action per tag. An attribute that neither the DICOM dictionary nor these tables know is removed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import cache
from importlib.resources import files
from typing import Any

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword

from wardround.dicom.deidentify_elements import DICTIONARY_VR


class Option(Enum):
    """Options of the Basic Profile that are supported: name in the table, code and meaning (PS3.16 CID 7050)."""

    MODIFIED_DATES = (
        "modified_dates",
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    )
    PATIENT_CHARACTERISTICS = ("patient", "113108", "Retain Patient Characteristics Option")

    def __init__(self, column: str, code: str, meaning: str) -> None:
        self.column = column
        self.code = code
        self.meaning = meaning


BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")


@dataclass(frozen=True, slots=True)
class Profile:
    """The Basic Application Level Confidentiality Profile (PS3.15 E.2) with ``options`` (E.3)."""

    options: frozenset[Option] = field(default_factory=frozenset)

    @classmethod
    def basic(cls) -> Profile:
        """Nothing retained: no dates, no sex, no age."""
        return cls()

    @classmethod
    def research(cls) -> Profile:
        """What research needs: dates shifted per patient, and patient characteristics that are no free text."""
        return cls(frozenset(Option))

    @property
    def name(self) -> str:
        return BASIC_CODE[1]

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code value and meaning of the profile and of each option, scheme DCM, in ascending order."""
        return (BASIC_CODE, *sorted((option.code, option.meaning) for option in self.options))


class Action(IntEnum):
    """What happens to an attribute. The letters are those of Table E.1-1 where it has one."""

    REMOVE = 0  # X
    EMPTY = 1  # Z
    DUMMY = 2  # D
    UID = 3  # U
    SHIFT = 4  # C of the modified dates option
    KEEP = 5  # K, if the value has the form of its value representation
    KEEP_TEXT = 6  # K, text that this project lists
    KEEP_BYTES = 7  # K, bytes that this project lists
    RECURSE = 8  # a sequence: each item is cleaned
    AGE = 9
    PATIENT_NAME = 10
    PATIENT_ID = 11
    SEGMENT_LABEL = 12
    TIME = 13


_FREE_TEXT = frozenset({b"LO", b"SH", b"ST", b"LT", b"UT", b"UC", b"UR", b"AE", b"PN"})
_BYTES = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN"})
_SPECIAL = {
    0x00100010: Action.PATIENT_NAME,
    0x00100020: Action.PATIENT_ID,
    0x00101010: Action.AGE,
    0x00620005: Action.SEGMENT_LABEL,
}
# Written anew for each object; a deleted group length is optional (PS3.5 7.2).
_REWRITTEN = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})


class Rules:
    """One action per tag for a profile.

    Built once per profile by :func:`rules`; ``edition`` names the edition of DICOM that the table holds.
    """

    def __init__(self, profile: Profile, table: dict[str, Any], scope: dict[str, Any]) -> None:
        self.edition: str = table["edition"]
        self.sop_classes = frozenset(scope["sop_classes"])
        self.transfer_syntaxes = frozenset(scope["transfer_syntaxes"])
        self.refused_image_types = frozenset(scope["refused_image_types"])
        self.coding_schemes = frozenset(scheme.encode() for scheme in scope["coding_schemes"])
        self.segment_labels = frozenset(label.encode() for label in scope["segment_labels"])
        self.identifying = _tags(scope["identifying"])
        self.terms = {
            tag: frozenset(term.encode() for term in terms)
            for keyword, terms in scope["terms"].items()
            for tag in _tags([keyword])
        }
        self.vocabulary = frozenset(word.encode() for word in scope["vocabulary"])
        columns = {option.column for option in profile.options}
        attributes: dict[str, str] = table["attributes"]
        resolved: dict[str, str] = scope["resolved"]
        listed = {
            int(tag, 16): resolved.get(tag, _chosen(row, columns))
            for tag, row in attributes.items()
            if tag != "private" and "x" not in tag
        }
        kept_text, replaced = _tags(scope["text_kept"]), _tags(scope["text_replaced"])
        emptied, kept_bytes = _tags(scope["text_emptied"]), _tags(scope["bytes_kept"])
        shifted = Option.MODIFIED_DATES in profile.options
        self._actions: dict[int, Action] = {}
        for tag, vr in DICTIONARY_VR.items():
            if tag in listed:
                action = _listed(listed[tag], vr, shifted)
                # What is retained must still be no free text.
                if action is Action.KEEP and vr in _FREE_TEXT | _BYTES:
                    action = Action.REMOVE
            elif tag in replaced:
                action = Action.DUMMY
            elif tag in emptied:
                action = Action.EMPTY
            elif tag in kept_text:
                action = Action.KEEP_TEXT
            elif tag in kept_bytes:
                action = Action.KEEP_BYTES
            else:
                action = _unlisted(vr, shifted)
            self._actions[tag] = action
        for tag, special in _SPECIAL.items():
            if special is not Action.AGE or self._actions[tag] is Action.KEEP:
                self._actions[tag] = special
        for tag in list(self._actions):
            group = tag >> 16
            if (
                group <= 0x0006
                or group & 1
                or tag & 0xFFFF == 0
                or tag in _REWRITTEN
                or 0x5000 <= group <= 0x50FF
                or 0x6000 <= group <= 0x60FF
            ):
                del self._actions[tag]

    def action(self, tag: int) -> Action:
        """What to do with ``tag``; :attr:`Action.REMOVE` for all that is private or unknown."""
        return self._actions.get(tag, Action.REMOVE)

    def tags(self) -> list[int]:
        """All tags that aren't removed."""
        return [tag for tag, action in self._actions.items() if action is not Action.REMOVE]


@cache
def rules(profile: Profile) -> Rules:
    """The rules of ``profile``, read from the package's tables once."""
    return Rules(profile, _table("confidentiality.json"), _table("deidentification_scope.json"))


def confidentiality_table() -> dict[str, str]:
    """Table E.1-1 as shipped: tag pattern to its action and options."""
    attributes: dict[str, str] = _table("confidentiality.json")["attributes"]
    return attributes


@cache
def _table(name: str) -> dict[str, Any]:
    text = files("wardround.dicom").joinpath("data", name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _chosen(row: str, columns: set[str]) -> str:
    """The action of a row: that of a chosen option, else the Basic Profile's."""
    basic, *others = row.split(" ")
    for other in others:
        column, action = other.split(":")
        if column in columns:
            return action if column != Option.MODIFIED_DATES.column else f"{action}{basic}"
    return basic


def _listed(action: str, vr: bytes, shifted: bool) -> Action:
    if action.startswith("C") and vr in (b"DA", b"DT"):
        return Action.SHIFT
    if action.startswith("C") and vr == b"TM":
        return Action.TIME
    action = action.removeprefix("C")
    if action == "K":
        return Action.KEEP
    if vr == b"SQ":
        return _sequence(action)
    if vr == b"UI":
        return Action.REMOVE if action == "X" else Action.UID
    if vr == b"PN" and "Z" in action:
        return Action.EMPTY
    # Of several, the one that leaves a valid object wherever the attribute is required.
    if "D" in action:
        return Action.DUMMY
    return Action.EMPTY if "Z" in action else Action.REMOVE


def _sequence(action: str) -> Action:
    if "U" in action or action == "D":
        return Action.RECURSE
    return Action.EMPTY if "Z" in action else Action.REMOVE


def _unlisted(vr: bytes, shifted: bool) -> Action:
    if vr == b"SQ":
        return Action.RECURSE
    if vr == b"UI":
        return Action.UID
    if vr in _FREE_TEXT or vr in _BYTES:
        return Action.REMOVE
    if vr in (b"DA", b"DT"):
        return Action.SHIFT if shifted else Action.REMOVE
    if vr == b"TM":
        return Action.TIME if shifted else Action.REMOVE
    return Action.KEEP


def _tags(keywords: list[str]) -> frozenset[int]:
    tags = set()
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in DicomDictionary:
            raise ValueError(f"data/deidentification_scope.json names an unknown attribute: {keyword}")
        tags.add(tag)
    return frozenset(tags)
