"""The last look: is anything of the original identity still in what is about to be written?"""

from __future__ import annotations

import re

from wardround.dicom.confidentiality import Rules
from wardround.dicom.confidentiality_classes import class_decisions
from wardround.dicom.deidentify_charset import decoded, folded, is_plain, spellings
from wardround.dicom.deidentify_dates import parsed
from wardround.dicom.dictionary import UIDS
from wardround.dicom.errors import Reason, Refused

STANDARD_UIDS = frozenset(uid.encode() for uid in (*UIDS, *(known.uid for known in class_decisions())))
_SEPARATORS = re.compile(rb"[\^= ,\\\0]+")
_JOINTS = re.compile(rb"[\-'.]")
_PUNCTUATION = re.compile(rb"[ ./\-]")
_WIDE_SEPARATORS = re.compile(r"[\^= ,\\\0\u3000]+")
_DATE_FORMS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y")
_SHORTEST_NAME = 3
_SHORTEST_ID = 4
_SUBSTRING_FROM = 6


class Traces:
    """What an object said about a person, gathered while it is cleaned, then searched for in the result.

    Names are searched part by part; identifiers, addresses and dates whole and per value; UIDs whole. Parts
    of six characters and more may occur nowhere outside the pixel data, shorter ones and numbers nowhere as a
    word of their own in kept text. Parts shorter than three characters (names) or four (identifiers) can't be
    told from chance. Text that is not ASCII is compared as Unicode too, so that a name is found in another character
    set, in another width, or with its accents left out or spelt out.
    """

    def __init__(self, rules: Rules) -> None:
        self._vocabulary = rules.vocabulary
        self._names: set[bytes] = set()
        self._names_that_are_terms: set[bytes] = set()
        self._ids: set[bytes] = set()
        self._uids: set[bytes] = set()
        self._words: list[bytes] = []
        self._numbers: list[bytes] = []
        self._binaries: list[bytes] = []
        self._wide_names: set[str] = set()
        self._wide_words: list[str] = []

    def name(self, value: bytes, character_set: bytes = b"") -> None:
        """An original value of PN: all components of all representations (PS3.5 6.2.1)."""
        for part in _SEPARATORS.split(value.lower()):
            for piece in (part, *_JOINTS.split(part)):
                if len(piece) >= _SHORTEST_NAME:
                    (self._names_that_are_terms if piece in self._vocabulary else self._names).add(piece)
        if not is_plain(value):
            for wide in _WIDE_SEPARATORS.split(folded(decoded(value, character_set))):
                if wide.isascii():
                    continue
                # Two ideographs are a name; two letters are chance.
                if len(wide) >= _SHORTEST_NAME or (len(wide) == 2 and min(wide) >= "\u2e80"):
                    self._wide_names.add(wide)
                for spelling in spellings(wide):
                    if len(spelling) >= _SHORTEST_NAME and spelling.encode() not in self._vocabulary:
                        self._names.add(spelling.encode())

    def identifier(self, value: bytes, patient: bool = False) -> None:
        """An original identifying value that is no name, and its other spellings.

        Numbers of fewer than six digits, but those of the ``patient``, are no more than chance and are left out.
        """
        for part in value.lower().rstrip(b"\0").split(b"\\"):
            stripped = part.strip(b" ")
            if len(stripped) < _SHORTEST_ID or stripped in self._vocabulary:
                continue
            if stripped.isdigit() and len(stripped) < _SUBSTRING_FROM and not patient:
                continue
            self._ids.add(stripped)
            bare = _PUNCTUATION.sub(b"", stripped)
            if len(bare) >= _SUBSTRING_FROM:
                self._ids.add(bare)
            day = parsed(stripped)
            if day is not None:
                self._ids |= {day.strftime(form).encode() for form in _DATE_FORMS}

    def uid(self, value: bytes) -> None:
        """An original UID that was replaced."""
        self._uids.add(value)

    def identifies(self, word: bytes) -> bool:
        """Whether a word in lower case is, or holds, one that was noted so far: a name that is a term too (Hand, Chest)
        may be either in free text, though it may stay where it is a code."""
        noted = self._names | self._ids
        return (
            word in noted
            or word in self._names_that_are_terms
            or any(len(each) >= _SUBSTRING_FROM and each in word for each in noted)
        )

    def kept_text(self, value: bytes, character_set: bytes = b"") -> None:
        """Text that the result will hold."""
        self._words.append(value)
        if not is_plain(value):
            text = folded(decoded(value, character_set))
            self._wide_words.append(text)
            self._words += [spelling.encode() for spelling in spellings(text)]

    def kept_number(self, value: bytes) -> None:
        """A number written as text that the result will hold."""
        self._numbers.append(value)

    def kept_binary(self, value: bytes) -> None:
        """Binary numbers that the result will hold; six characters in a row in them are no chance."""
        self._binaries.append(value)

    def verify(self, header: bytes) -> None:
        """Search ``header``, the result up to the pixel data, before markers of our own are added.

        Raises:
            Refused: something remains; says only what kind.
        """
        lowered = header.lower()
        words = b"\0".join(self._words).lower()
        numbers = b"\0".join(self._numbers).lower()
        binaries = b"\0".join(self._binaries).lower()
        for kind, needles in (("a part of a person's name", self._names), ("an identifier", self._ids)):
            for needle in needles:
                if _remains(needle, lowered, words, numbers, binaries):
                    raise _remaining(kind)
        wide = "\0".join(self._wide_words)
        if any(name in wide for name in self._wide_names):
            raise _remaining("a part of a person's name")
        for uid in self._uids:
            if uid in lowered and re.search(rb"(?<![\d.])" + re.escape(uid) + rb"(?![\d.])", lowered):
                raise _remaining("an original UID")

    def verify_compressed(self, pixels: bytes) -> None:
        """Search compressed pixel data, whose format can carry comments beside the picture.

        Raises:
            Refused: a name or an identifier of six characters and more is in there.
        """
        for needle in self._names | self._ids | {uid for uid in self._uids if len(uid) >= 10}:
            if len(needle) >= _SUBSTRING_FROM and re.search(re.escape(needle), pixels, re.IGNORECASE):
                raise Refused(
                    Reason.TEXT_IN_PIXELS,
                    "the compressed pixel data hold a comment with an identity; have it stored uncompressed",
                )


def _remains(needle: bytes, header: bytes, words: bytes, numbers: bytes, binaries: bytes) -> bool:
    if len(needle) >= _SUBSTRING_FROM:
        if not needle.isdigit():
            return needle in header
        return needle in binaries or _as_word(needle, words) or _as_word(needle, numbers)
    return _as_word(needle, words)


def _as_word(needle: bytes, text: bytes) -> bool:
    if needle not in text:
        return False
    return re.search(rb"(?<![a-z0-9])" + re.escape(needle) + rb"(?![a-z0-9])", text) is not None


def _remaining(kind: str) -> Refused:
    return Refused(
        Reason.IDENTITY_REMAINS,
        f"{kind} would have stayed in an attribute that is kept; correct that attribute at its source",
    )
