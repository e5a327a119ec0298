"""Descriptive text, reduced to words that are known: the Clean Descriptors Option (PS3.15 E.3.5).

Telling what identifies in free text can't be done for certain; telling what doesn't can. A word stays if the list
shipped (``data/descriptor_words.json``) has it and no name or identifier of the object does; a number stays if it is
short, stands alone or with a unit, and is no date, age, telephone number or identifier.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

_TOKEN = re.compile(rb"[A-Za-z0-9.\x80-\xff]+")
_BARE = re.compile(rb"\d{1,3}(?:\.\d{1,3})?$")
_MEASURED = re.compile(
    rb"\d{1,4}(?:\.\d{1,3})?(?:mm|cm|ml|mg|kv|kvp|ma|mas|ms|sec|s|hz|t|deg|min|phases?|slices?|views?|ch|channel)$"
)
_TECHNICAL = re.compile(rb"(?:t1w?|t2w?|t1c|[234]d|b\d{1,4}|[bhid]\d{2}[fs]|[clst][1-9]|[clst]1[0-2]|[lr]\d)$")
_AGE_AFTER = frozenset({b"y", b"yo", b"yr", b"yrs", b"year", b"years", b"old", b"m", b"f", b"months", b"jahre"})
_TITLES = frozenset({b"dr", b"mr", b"mrs", b"ms", b"miss", b"prof", b"sir", b"sister", b"nurse", b"by", b"per"})


def cleaned_text(value: bytes, identifies: Callable[[bytes], bool]) -> bytes:
    """``value`` with all left out that isn't known; empty if nothing stays.

    Args:
        value: one or more values of a text VR, as bytes. Text with escape sequences is left out as a whole.
        identifies: whether a word in lower case belongs to a name or an identifier of the object.
    """
    if b"\x1b" in value:
        return b""
    kept = [_one(part, identifies) for part in value.rstrip(b" \0").split(b"\\")]
    return b"\\".join(kept) if any(kept) else b""


def _one(text: bytes, identifies: Callable[[bytes], bool]) -> bytes:
    words = descriptor_words()
    tokens = list(_TOKEN.finditer(text))
    lowered = [token[0].lower().strip(b".") for token in tokens]
    numeric = [bool(_BARE.match(word)) for word in lowered]
    digits = [any(0x30 <= byte <= 0x39 for byte in word) for word in lowered]
    parts: list[bytes] = []
    last_kept = -2
    for at, word in enumerate(lowered):
        before, after = lowered[at - 1] if at else b"", lowered[at + 1] if at + 1 < len(lowered) else b""
        if numeric[at]:
            beside_numbers = (at > 0 and digits[at - 1]) or (at + 1 < len(lowered) and digits[at + 1])
            stays = not beside_numbers and after not in _AGE_AFTER
        else:
            stays = word in words or _MEASURED.match(word) is not None or _TECHNICAL.match(word) is not None
        if not stays or not word or before in _TITLES or identifies(word):
            continue
        if parts:
            between = text[tokens[at - 1].end() : tokens[at].start()] if last_kept == at - 1 else b" "
            parts.append(between[:1] if between[:1] in b" -_/+,:" and between else b" ")
        parts.append(tokens[at][0].strip(b"."))
        last_kept = at
    return b"".join(parts)


@cache
def descriptor_words() -> frozenset[bytes]:
    """The words that may stay, in lower case."""
    text = files("wardround.dicom").joinpath("data", "descriptor_words.json").read_text(encoding="utf-8")
    return frozenset(word.encode() for line in json.loads(text)["words"] for word in line.split())
