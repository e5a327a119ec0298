"""Which profile of PS3.15 Annex E applies: the Basic Profile, its options, and what a project adds, as data.

A profile is a name of those shipped (``data/profiles.json``) or a small TOML file::

    name = "stroke-registry"
    options = ["modified-dates", "patient-characteristics", "clean-descriptors", "clean-structured-content"]
    accept = ["dose-report"]       # kinds of objects that are refused unless they are named here
    cap_ages = true                # 90 or older is told as 90

    [[safe_private]]               # a private element that your vendor's conformance statement calls safe
    creator = "ACME 1.0"
    element = "0019xx0C"
    vr = "IS"

An unknown key, option or kind is an error, and so are options that contradict each other.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from wardround.dicom.confidentiality_classes import ACCEPTABLE
from wardround.dicom.errors import ProfileInvalid


class Option(Enum):
    """Options of the Basic Profile: its word in a profile, its column in the table, code and meaning (CID 7050).

    The two of the pixels have no column: they say what was done to the picture.
    """

    CLEAN_PIXEL_DATA = ("clean-pixel-data", "", "113101", "Clean Pixel Data Option")
    CLEAN_VISUAL_FEATURES = ("clean-visual-features", "", "113102", "Clean Recognizable Visual Features Option")
    CLEAN_GRAPHICS = ("clean-graphics", "graphics", "113103", "Clean Graphics Option")
    CLEAN_STRUCTURED_CONTENT = (
        "clean-structured-content",
        "structured",
        "113104",
        "Clean Structured Content Option",
    )
    CLEAN_DESCRIPTORS = ("clean-descriptors", "descriptors", "113105", "Clean Descriptors Option")
    FULL_DATES = (
        "full-dates",
        "full_dates",
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    )
    MODIFIED_DATES = (
        "modified-dates",
        "modified_dates",
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    )
    PATIENT_CHARACTERISTICS = (
        "patient-characteristics",
        "patient",
        "113108",
        "Retain Patient Characteristics Option",
    )
    DEVICE_IDENTITY = ("device-identity", "device", "113109", "Retain Device Identity Option")
    UIDS = ("uids", "uids", "113110", "Retain UIDs Option")
    SAFE_PRIVATE = ("safe-private", "safe_private", "113111", "Retain Safe Private Option")
    INSTITUTION_IDENTITY = ("institution-identity", "institution", "113112", "Retain Institution Identity Option")

    def __init__(self, word: str, column: str, code: str, meaning: str) -> None:
        self.word = word
        self.column = column
        self.code = code
        self.meaning = meaning


BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")
PIXEL_OPTIONS = frozenset({Option.CLEAN_PIXEL_DATA, Option.CLEAN_VISUAL_FEATURES})
_WORDS = {option.word: option for option in Option}
_ELEMENT = re.compile(r"^[0-9a-f]{3}[13579bdf]xx[0-9a-f]{2}$")
_SAFE_VRS = frozenset({"CS", "DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"})
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


@dataclass(frozen=True, slots=True)
class SafeElement:
    """A private element that holds no identity: its creator, its place (``0019xx0c``) and how it is read."""

    creator: str
    element: str
    vr: str

    def __post_init__(self) -> None:
        if not self.creator.strip() or not self.creator.isascii():
            raise ProfileInvalid("a safe private element needs its private creator, in ASCII")
        if not _ELEMENT.match(self.element):
            raise ProfileInvalid(f"{self.element!r} is no private element; write it as 0019xx0c, with an odd group")
        if self.vr not in _SAFE_VRS:
            raise ProfileInvalid(f"{self.vr!r} isn't taken; a safe private element is one of {_list(_SAFE_VRS)}")


@dataclass(frozen=True, slots=True)
class Profile:
    """The Basic Application Level Confidentiality Profile (PS3.15 E.2) with ``options`` (E.3).

    Args:
        options: what is retained or cleaned beyond the Basic Profile. The options of the pixels are promises that
            the picture is looked at; an object says that they were kept only where something was done.
        name: lower case letters, digits and hyphens.
        accept: kinds of objects of :mod:`wardround.dicom.confidentiality_classes` that are refused unless named here.
        cap_ages: whether an age of 90 and more is told as 90.
        safe_private: private elements beside those shipped; need the option ``safe-private``.

    Raises:
        ProfileInvalid: the options contradict each other, or something isn't known.
    """

    options: frozenset[Option] = field(default_factory=frozenset)
    name: str = "basic"
    accept: frozenset[str] = field(default_factory=frozenset)
    cap_ages: bool = True
    safe_private: tuple[SafeElement, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ProfileInvalid(f"{self.name!r} is no name of a profile; use lower case letters, digits and hyphens")
        if {Option.FULL_DATES, Option.MODIFIED_DATES} <= self.options:
            raise ProfileInvalid("full-dates and modified-dates contradict each other; choose one of them")
        if self.safe_private and Option.SAFE_PRIVATE not in self.options:
            raise ProfileInvalid("safe_private is listed, but the option safe-private isn't; add it")
        for kind in sorted(self.accept):
            if kind not in ACCEPTABLE:
                raise ProfileInvalid(f"{kind!r} can't be accepted; those that can are {_list(ACCEPTABLE)}")
            missing = ACCEPTABLE[kind] - {option.word for option in self.options}
            if missing:
                raise ProfileInvalid(f"accepting {kind} needs the option {_list(missing)}; add it")

    @classmethod
    def basic(cls) -> Profile:
        """Nothing retained: no dates, no sex, no age."""
        return cls.named("basic")

    @classmethod
    def research(cls) -> Profile:
        """What research needs: dates shifted per patient, and patient characteristics that are no free text."""
        return cls.named("research")

    @classmethod
    def named(cls, name: str) -> Profile:
        """One of those shipped.

        Raises:
            ProfileInvalid: there is none of that name.
        """
        if name not in _shipped():
            raise ProfileInvalid(f"there is no profile {name!r}; shipped are {_list(_shipped())}, or give a file")
        return cls.from_document({"name": name, **_shipped()[name]})

    @classmethod
    def chosen(cls, name_or_path: str) -> Profile:
        """The profile of that name, or in that TOML file (a word with a dot or a slash).

        Raises:
            ProfileInvalid: there is none, it can't be read, or it contradicts itself.
        """
        if not set("./\\") & set(name_or_path):
            return cls.named(name_or_path)
        path = Path(name_or_path)
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ProfileInvalid(f"{path.name}: not valid TOML ({error}); mend that line") from None
        except OSError as error:
            raise ProfileInvalid(f"{path.name}: can't be read ({error.strerror})") from None
        try:
            return cls.from_document({"name": path.stem.lower(), **document})
        except ProfileInvalid as error:
            raise ProfileInvalid(f"{path.name}: {error}") from None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Profile:
        """A profile from the keys that a file may have.

        Raises:
            ProfileInvalid: a key, an option or a kind isn't known, or has another type.
        """
        known = {"name", "options", "accept", "cap_ages", "safe_private"}
        for key in document.keys() - known:
            raise ProfileInvalid(f"unknown key {key!r}; known are {_list(known)}; correct or remove it")
        for option in (options := _texts(document, "options")) - _WORDS.keys():
            raise ProfileInvalid(f"unknown option {option!r}; known are {_list(_WORDS)}")
        cap_ages, private = document.get("cap_ages", True), document.get("safe_private", [])
        if not isinstance(cap_ages, bool) or not isinstance(document.get("name", ""), str):
            raise ProfileInvalid("cap_ages is true or false, and name is a text")
        keys = {"creator", "element", "vr"}
        if not isinstance(private, list) or any(
            not isinstance(each, dict) or each.keys() != keys or not all(isinstance(v, str) for v in each.values())
            for each in private
        ):
            raise ProfileInvalid(f"safe_private is a list of tables with the texts {_list(keys)}")
        return cls(
            options=frozenset(_WORDS[word] for word in options),
            name=document.get("name", "basic"),
            accept=_texts(document, "accept"),
            cap_ages=cap_ages,
            safe_private=tuple(SafeElement(e["creator"].strip(), e["element"].lower(), e["vr"]) for e in private),
        )

    @property
    def title(self) -> str:
        """What the standard calls the profile that the options belong to."""
        return BASIC_CODE[1]

    @property
    def digest(self) -> str:
        """SHA-256 of all that the profile says, in hexadecimal: two of one name and digest are the same."""
        told = {
            "options": sorted(option.word for option in self.options),
            "accept": sorted(self.accept),
            "cap_ages": self.cap_ages,
            "safe_private": sorted([each.creator, each.element, each.vr] for each in self.safe_private),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code value and meaning of the profile and of each option, scheme DCM, in ascending order."""
        return (BASIC_CODE, *sorted((option.code, option.meaning) for option in self.options))


def shipped_profiles() -> tuple[str, ...]:
    """The names of the profiles that come with the program."""
    return tuple(_shipped())


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    text = files("wardround.dicom").joinpath("data", "profiles.json").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Any]] = json.loads(text)
    return loaded


def _texts(document: Mapping[str, Any], key: str) -> frozenset[str]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ProfileInvalid(f"{key} is a list of texts")
    return frozenset(value)


def _list(words: Any) -> str:
    return ", ".join(sorted(words))
