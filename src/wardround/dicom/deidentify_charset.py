"""Text of a DICOM object as Unicode, for comparing: Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1) honoured."""

from __future__ import annotations

import unicodedata
import warnings

from pydicom.charset import convert_encodings, decode_bytes, python_encoding

_DELIMITERS = {0x5E, 0x3D, 0x5C, 0x0A, 0x0C, 0x0D}
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae"})


def is_plain(value: bytes) -> bool:
    """Whether ``value`` reads the same in every character set: ASCII without escape sequences."""
    return value.isascii() and b"\x1b" not in value


def decoded(value: bytes, character_set: bytes) -> str:
    """``value`` as text. What the declared character sets can't explain is read as Latin-1, never an error.

    Args:
        character_set: the value of Specific Character Set (0008,0005) that holds where ``value`` stands.
    """
    if is_plain(value):
        return value.decode("ascii")
    terms = [term.strip() for term in character_set.strip(b" \0").decode("latin-1").split("\\")]
    # pydicom logs the name of a character set that it doesn't know, and nothing of an object may be logged.
    if all(term in python_encoding for term in terms):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return decode_bytes(value, convert_encodings(terms), _DELIMITERS)
            except (LookupError, UnicodeError, ValueError):
                pass
    return value.decode("latin-1")


def folded(text: str) -> str:
    """``text`` as it is compared: width, case and composition don't matter."""
    return unicodedata.normalize("NFKC", text).casefold()


def spellings(text: str) -> frozenset[str]:
    """How somebody may write a folded text in ASCII: accents left out, or letters spelt out."""
    found = set()
    for one in (text, text.translate(_SPELLED_OUT)):
        bare = "".join(c for c in unicodedata.normalize("NFKD", one) if not unicodedata.combining(c))
        bare = bare.replace("ø", "o").replace("ß", "ss").replace("ł", "l").replace("đ", "d").replace("æ", "ae")
        if bare.isascii():
            found.add(bare)
    return frozenset(found)
