"""What forms of hub and node have in common, and a project's words as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from wardround.contracts.base import ReasonCode
from wardround.foundation.errors import NotAllowed
from wardround.ui.page import Visit

_CODE: TypeAdapter[str] = TypeAdapter(ReasonCode)
_NAME = 14
"""How wide the first column of `contracts.project_words.in_words` is."""


def code_of(visit: Visit) -> str:
    """The form's reason. Raises `NotAllowed` for what may not leave."""
    try:
        return _CODE.validate_python(visit.field("reason"))
    except ValidationError:
        raise NotAllowed(
            "a reason is lower-case letters, digits and hyphens, as in not-lawful-here; no text leaves"
        ) from None


def whole(text: str, digits: int = 9) -> int | None:
    """The whole number that a form or an address has, of at most so many digits; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def grouped(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Name and lines, of the lines that `in_words` gives."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        name, told = line[:_NAME].strip().rstrip(":"), line[_NAME:].strip()
        if name or not found:
            found.append((name, [told]))
        else:
            found[-1][1].append(told)
    return found
