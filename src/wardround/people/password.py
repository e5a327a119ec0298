"""Passwords: which are taken, and how they are kept: Argon2id (RFC 9106), each with a salt of its own.

Rules follow NIST SP 800-63B section 3.1.1: length counts, kinds of characters don't; common and guessable ones are
refused; text is normalised to NFKC before it is hashed; nothing expires by itself.
"""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from wardround.foundation.errors import NotAllowed

SHORTEST = 12
LONGEST = 256
"""Characters after normalisation; the upper bound only keeps a form from sending megabytes to the hash."""

HASHES_AT_ONCE = 2
"""Each takes 64 MiB: more wait, so that a crowd at the sign-in can't take the machine's memory."""

_LETTERS_MEANT = str.maketrans("013457@$!", "oieastasi")
_WORDS = (
    "password passwort motdepasse contrasena passphrase qwertyuiop qwerty qwertz azerty asdfghjkl asdfgh asdf zxcvbnm "
    "zxcvbn letmein welcome admin administrator login secret changeme default iloveyou monkey dragon football baseball "
    "sunshine princess superman batman starwars master hello test testing guest user root system computer internet "
    "summer winter spring autumn january february march april june july august september october november december "
    "monday tuesday wednesday thursday friday saturday sunday london paris berlin "
    "hospital radiology radiologist doctor nurse patient clinic medical health imaging pacs dicom nhs ward round "
    "wardround hub node the my is this for correct horse battery staple abc abcdef abcdefgh trustno me now one"
)
_COMMON_WORDS = frozenset(_WORDS.split())
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm")


class PasswordRefused(NotAllowed):
    """A new password that isn't taken."""

    code = "password-refused"


def check_password(password: str, name: str) -> None:
    """Whether `password` may be the new one of the person called `name`.

    Raises:
        PasswordRefused: it is too short or too long, holds the name, or is one that guessers try first.
    """
    text = unicodedata.normalize("NFKC", password)
    if len(text) < SHORTEST:
        raise PasswordRefused(f"a password has at least {SHORTEST} characters; several words make a good one")
    if len(text) > LONGEST:
        raise PasswordRefused(f"a password has at most {LONGEST} characters")
    folded = text.casefold()
    parts = [name, *(part for part in name.split("-") if len(part) > 3)]
    bare = folded
    for part in parts:
        bare = bare.replace(part.casefold(), "")
    if bare != folded and (len(bare) < SHORTEST - 4 or _guessable(bare)):
        raise PasswordRefused("this password is little more than your name; choose another")
    if _guessable(folded):
        raise PasswordRefused("this password is one of those that are guessed first; choose another")


def _guessable(folded: str) -> bool:
    if len(set(folded)) < 5:
        return True
    if any(folded == (folded[:period] * len(folded))[: len(folded)] for period in range(1, len(folded) // 2 + 1)):
        return True
    runs = [part for row in _ROWS for way in (row, row[::-1]) for part in _pieces(way)]
    without = folded
    for run in sorted(set(runs), key=len, reverse=True):
        without = without.replace(run, "")
    if len(without) <= 3:
        return True
    for text in (folded, folded.translate(_LETTERS_MEANT)):
        letters = "".join(character for character in text if character.isalpha())
        if len(letters) < 4 or _only_common(letters):
            return True
    # A common word with digits after it, some of which stand for letters elsewhere.
    stem = folded.rstrip("0123456789!?.-_#$%&* ").translate(_LETTERS_MEANT)
    return _only_common("".join(character for character in stem if character.isalpha()))


def _only_common(letters: str) -> bool:
    """Whether it is common words, one after the other; in time linear in its length."""
    ends = {0}
    for start in range(len(letters)):
        if start in ends:
            ends |= {start + len(word) for word in _COMMON_WORDS if letters.startswith(word, start)}
    return len(letters) in ends


def _pieces(row: str) -> list[str]:
    """All runs of four and more along a row of keys."""
    return [row[start:end] for start in range(len(row)) for end in range(start + 4, len(row) + 1)]


class Passwords:
    """Hashes and checks. May be shared by threads; each call takes about a tenth of a second and 64 MiB.

    Args:
        hasher: with other parameters than RFC 9106's second recommended option.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._turn = threading.BoundedSemaphore(HASHES_AT_ONCE)

    def hash(self, password: str) -> str:
        """What is kept of a password: parameters, salt and hash in one line (PHC string format)."""
        with self._turn:
            return self._hasher.hash(unicodedata.normalize("NFKC", password[: 4 * LONGEST]))

    def matches(self, kept: str, password: str) -> bool:
        """Whether `password` is the one of which `kept` was kept."""
        with self._turn:
            try:
                return self._hasher.verify(kept, unicodedata.normalize("NFKC", password[: 4 * LONGEST]))
            except (VerificationError, InvalidHashError):
                return False

    def spend(self, password: str) -> None:
        """The work of `matches` for nobody, so that an unknown name takes as long as a known one."""
        self.hash(password)

    def outdated(self, kept: str) -> bool:
        """Whether it was hashed with other parameters than those of today."""
        return self._hasher.check_needs_rehash(kept)
