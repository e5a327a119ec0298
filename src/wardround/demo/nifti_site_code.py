"""Site codes out of the names of folders, which may hold anything."""

import re
import unicodedata
from collections.abc import Sequence

_LONGEST = 24


def site_codes(names: Sequence[str]) -> dict[str, str]:
    """A code for each name: lower case letters, digits and hyphens, a letter first, at most 24, no two alike.

    The same names in the same order give the same codes.
    """
    codes: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        code = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST].strip("-")
        if not code[:1].isalpha():
            code = f"site-{code}".strip("-")[:_LONGEST].strip("-")
        number = 1
        candidate = code
        while candidate in codes.values():
            number += 1
            suffix = f"-{number}"
            candidate = code[: _LONGEST - len(suffix)].rstrip("-") + suffix
        codes[name] = candidate
    return codes
