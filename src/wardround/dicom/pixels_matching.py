"""Whether words read from pixels name the patient, and whether they are text at all.

Reading is imperfect, so that letters which look alike are one letter here, and a few misread ones are forgiven.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_text import Word
from wardround.dicom.statement import Identity

_ALIKE = str.maketrans("OQDILJT|!SBZGEA", "000111711582634")
_NOT_WORD = re.compile(r"[^A-Z0-9]")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_EDGES = re.compile(r"^[^0-9A-Za-z]+|[^0-9A-Za-z%]+$")
_SHORTEST, _SHORTEST_PIECE = 3, 5
_LONGEST_LINE = 5
_LIKELY = 30.0
_CERTAIN = 85.0
_CROWD = 40

HARMLESS = frozenset(
    re.findall(
        r"\S+",
        """
    L R A P H F LT RT LEFT RIGHT ANT POST SUP INF HEAD FEET AP PA LAT LATERAL OBL AX AXIAL COR CORONAL SAG SAGITTAL
    SUPINE PRONE ERECT STANDING UPRIGHT CM MM KV KVP MA MAS MHZ HZ DB FPS SEC MIN HR BPM WW WL FOV ZOOM DEPTH GAIN
    FREQ FRAME FRAMES IMAGE SLICE SERIES THK SCALE MAX TE TR TI MI TIS TIB TIC
    """,
    )
)
"""Scanner annotations that tell nothing of a person, in capitals."""

TELLING = frozenset(re.findall(r"\S+", "ID DOB NAME PATIENT PAT MRN NHS CHI BORN SEX HOSPITAL ACC ACCESSION STUDY DR"))
"""Words that announce an identifier: enough, even where they were read with little certainty."""

_MEASURE = re.compile(r"[+-]?(\d{1,3}|\d{0,3}[.,]\d{1,2})(CM|MM|KV|KVP|MA|MAS|MHZ|HZ|DB|FPS|S|MS|X|%|°)?[.,:;]?")


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of a whole object. named: words that are, or are part of, an identifier of the header. text: all
    words that are surely text and not harmless, the named ones among them."""

    named: tuple[Word, ...]
    text: tuple[Word, ...]


class Identifiers:
    """What a header says of whose an object is, in a form that misread text can be compared with."""

    def __init__(self, identity: Identity) -> None:
        self._tokens = tuple(sorted(set(_tokens(identity)), key=len, reverse=True))

    def sift(self, words: Sequence[Word]) -> Found:
        """Which of these words, in the order in which they were read, matter."""
        named: dict[int, Word] = {}
        for _, page in groupby((word for word in words if word.sure >= _LIKELY), key=lambda word: word.page):
            line = [(word, fold(word.text)) for word in page]
            line = [(word, letters) for word, letters in line if letters]
            for start in range(len(line)):
                for count in range(1, min(_LONGEST_LINE, len(line) - start) + 1):
                    window = line[start : start + count]
                    if count > 1 and not _follows(window[-2][0], window[-1][0]):
                        break
                    if self._name(window):
                        named.update({id(word): word for word, _ in window})
                        break
        harmless = [word for word in words if word.sure >= _CERTAIN and _is_harmless(_plain(word))]
        crowd = Counter(word.page for word in words)
        text = [
            word
            for word in words
            if id(word) in named
            or (is_text(word, scribble=crowd[word.page] > _CROWD) and not _upside_down(word, harmless))
        ]
        return Found(tuple(named.values()), tuple(text))

    def _name(self, window: Sequence[tuple[Word, str]]) -> bool:
        joined = "".join(letters for _, letters in window)
        sure = min(word.sure for word, _ in window)
        for token in self._tokens:
            if len(joined) > 2 * len(token) + 8:
                continue
            forgiven = _forgiven(len(token), sure)
            if forgiven is not None and len(joined) >= len(token) - forgiven and within(token, joined) <= forgiven:
                return True
            # A good part of a longer identifier, cut by the edge or by the reader.
            if sure >= 60 and len(joined) >= max(5, (len(token) + 1) // 2) and joined in token:
                return True
        return False


def fold(text: str) -> str:
    """Capitals and digits alone, without accents, with letters and digits that look alike made one."""
    plain = unicodedata.normalize("NFKD", text).upper().replace("|", "I").replace("!", "I")
    return _NOT_WORD.sub("", plain).translate(_ALIKE)


def is_text(word: Word, *, scribble: bool = False) -> bool:
    """Whether a word is text with enough certainty, and says more than a scanner's usual annotation.

    `scribble`: the page is so full of words that it is texture, or a document; a document has long words too.
    """
    plain = _plain(word)
    if _is_harmless(plain):
        return False
    if plain in TELLING and word.sure >= (60 if len(plain) > 2 else 92):
        return True
    letters = _NOT_WORD.sub("", unicodedata.normalize("NFKD", plain))
    if len(letters) < _SHORTEST or 2 * len(letters) < len(word.text):
        return False
    if len(set(letters)) < (2 if len(letters) < 5 else 3):
        return False
    if scribble and len(letters) < 5:
        return False
    return word.sure >= {3: 88, 4: 80}.get(len(letters), 80 if scribble else 65)


def _plain(word: Word) -> str:
    return _EDGES.sub("", word.text).upper()


def _is_harmless(plain: str) -> bool:
    return plain in HARMLESS or _MEASURE.fullmatch(plain) is not None


def _upside_down(word: Word, harmless: Sequence[Word]) -> bool:
    """Whether a word is a harmless annotation that was read in another turn, where `10 cm` may become `WOOL`."""
    covered = sum(_shared(word.box, other.box) for other in harmless if other.box.frame == word.box.frame)
    return covered >= 0.6 * word.box.height * word.box.width


def _follows(one: Word, other: Word) -> bool:
    """Whether a word stands beside the one before it, on a line of either direction."""
    a, b = one.box, other.box
    room = 2 * max(min(a.height, a.width), min(b.height, b.width))
    high = max(a.row, b.row) - min(a.row + a.height, b.row + b.height)
    wide = max(a.column, b.column) - min(a.column + a.width, b.column + b.width)
    return (high < 0 and wide <= room) or (wide < 0 and high <= room)


def _shared(one: Box, other: Box) -> int:
    high = min(one.row + one.height, other.row + other.height) - max(one.row, other.row)
    wide = min(one.column + one.width, other.column + other.width) - max(one.column, other.column)
    return max(high, 0) * max(wide, 0)


def within(token: str, text: str) -> int:
    """The fewest edits that turn `token` into some part of `text` (Sellers 1980)."""
    row = list(range(len(token) + 1))
    best = row[-1]
    for letter in text:
        before, row[0] = row[0], 0
        for place, wanted in enumerate(token, 1):
            before, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, before + (letter != wanted)),
            )
        best = min(best, row[-1])
    return best


def _forgiven(length: int, sure: float) -> int | None:
    """How many misread letters an identifier of this length may have; None where it is too short to tell."""
    if length < 4:
        return 0 if length == 3 and sure >= 85 else None
    if length < 6:
        return 0 if sure < 70 else int(length == 5)
    return 1 if length < 9 else 2 if length < 13 else 3


def _tokens(identity: Identity) -> Iterator[str]:
    for part in (*re.split(r"[\^=\s,.\-\\]+", identity.name), identity.patient_id, identity.accession_number):
        if len(token := fold(part)) >= _SHORTEST:
            yield token
    for part in re.split(r"[^0-9A-Za-z]+", f"{identity.patient_id} {identity.accession_number}"):
        if len(token := fold(part)) >= _SHORTEST_PIECE:
            yield token
    yield from _dates(identity.birth_date)


def _dates(birth: str) -> Iterable[str]:
    """A date (YYYYMMDD) as people and scanners write it, folded."""
    if len(birth) != 8 or not birth.isdecimal():
        return []
    year, month, day = birth[:4], birth[4:6], birth[6:]
    name = _MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else month
    written = [year + month + day, day + month + year, month + day + year]
    written += [day.lstrip("0") + month.lstrip("0") + year, month.lstrip("0") + day.lstrip("0") + year]
    written += [day + name + year, name + day + year, year + name + day, day + name + year[2:]]
    return [fold(one) for one in written]
