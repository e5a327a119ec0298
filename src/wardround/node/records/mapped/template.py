"""A text with cells in it: `{column}` stands for what the row has there. Nothing is ever evaluated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ROW, FILE = "#row", "#file"
"""What a row may be called by besides its columns: its number in its file, from 1, and the file's name without the
last suffix."""
_PART = re.compile(r"\{([^{}]+)\}|([^{}]+)")


@dataclass(frozen=True, slots=True)
class Template:
    """parts: texts, and names of columns, in turn; True for a column."""

    parts: tuple[tuple[str, bool], ...]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(text for text, is_column in self.parts if is_column)

    @property
    def text(self) -> str:
        """As it was written."""
        return "".join(f"{{{text}}}" if is_column else text for text, is_column in self.parts)

    def fill(self, cells: Mapping[str, str]) -> str | None:
        """The text of a row, whose cells are there only where they say something; None if one that is needed isn't."""
        filled = []
        for text, is_column in self.parts:
            if is_column:
                cell = cells.get(text)
                if cell is None:
                    return None
                filled.append(cell)
            else:
                filled.append(text)
        return "".join(filled)


def template(text: str) -> Template:
    """The template that `text` writes.

    Raises:
        ValueError: it is empty, or its braces don't match.
    """
    parts: list[tuple[str, bool]] = []
    at = 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            raise ValueError(f"{text!r} has a brace without its other; write {{column}} for what a row has there")
        name = found[1]
        if name is not None and name.startswith("#") and name not in (ROW, FILE):
            raise ValueError(f"{{{name}}} isn't known; there are {{{ROW}}} and {{{FILE}}}, and the columns")
        parts.append((found[1].strip(), True) if name is not None else (found[2], False))
        at = found.end()
    if not parts:
        raise ValueError("is empty; write what it is, with {column} for what a row has there")
    return Template(tuple(parts))
