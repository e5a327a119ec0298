"""`pathways/NAME.toml` in a node's home: a file for each pathway, read anew when it changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from wardround.foundation.errors import NotFound, WardroundError
from wardround.foundation.settings import SettingsRefused, read_document
from wardround.node.clinic.definition import NAME, Definition

_TABLE = re.compile(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]")
_Kind = type[BaseModel]


def read_definition(path: Path) -> Definition:
    """What the file `path` says.

    Raises:
        SettingsRefused: the file can't be used; one line says what, on which line, and the mend.
    """
    document = read_document(path, "file of a pathway")
    try:
        return Definition.model_validate(document)
    except ValidationError as error:
        raise SettingsRefused(f"{path}: {_fault(error, path.read_text(encoding='utf-8'))}") from None


class Definitions:
    """The pathways of one node, by name. Files are read again when they changed, so that an edit holds at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, tuple[tuple[int, int, int], Definition]] = {}

    def names(self) -> list[str]:
        """Of every file that is there, whether it can be used or not."""
        return sorted(file.stem for file in self.folder.glob("*.toml")) if self.folder.is_dir() else []

    def file(self, name: str) -> Path:
        """Where a pathway's file is. Raises `NotFound` for what can't be a pathway's name."""
        if not re.fullmatch(NAME, name):
            raise NotFound(f"{name!r} is no name of a pathway: small letters, digits and hyphens, a letter first")
        return self.folder / f"{name}.toml"

    def of(self, name: str) -> Definition:
        """A pathway's definition.

        Raises:
            NotFound: there is none of this name.
            SettingsRefused: its file can't be used.
        """
        path = self.file(name)
        try:
            state = path.stat()
        except FileNotFoundError:
            there = ", ".join(self.names()) or "none"
            raise NotFound(
                f"there is no pathway {name} here (there are: {there}); make one: wardround pathway new {name} "
                "--from TEMPLATE",
                code="no-pathway",
            ) from None
        mark = (state.st_mtime_ns, state.st_size, state.st_ino)
        kept = self._read.get(name)
        if kept is None or kept[0] != mark:
            kept = self._read[name] = (mark, read_definition(path))
        return kept[1]

    def labels(self, name: str) -> bool:
        """Whether a result on that pathway that a person agrees with may serve as a reference label; none may where
        its file can't be used."""
        try:
            return self.of(name).labels
        except WardroundError:
            return False


def _fault(error: ValidationError, text: str) -> str:
    faults = error.errors(include_url=False)
    # A key that isn't known explains one that is missing: it is the same, misspelt.
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    place = [str(part) for part in fault["loc"] if isinstance(part, str)]
    key = ".".join(place) or "the file"
    where = f"line {_line(text, place)}: "
    if fault["type"] == "extra_forbidden":
        known = ", ".join(sorted(_known(Definition, place[:-1])))
        return f"{where}unknown key {key!r}; known here: {known}; correct or remove it"
    if fault["type"] == "missing":
        return f"{where}{key!r} is missing; add it"
    said = fault["msg"].removeprefix("Value error, ")
    return f"{where}{key!r} is {fault['input']!r}: {said[:1].lower()}{said[1:]}; correct it"


def _line(text: str, place: Sequence[str]) -> int:
    """The line, from 1, on which a key is written; that of its table, or the first, where it isn't."""
    tables, key = [".".join(place[:-1]), ".".join(place)], place[-1] if place else ""
    table, found = "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        if opened := _TABLE.match(line):
            table = opened[1]
            if table in tables and table:
                found = number
                if table == tables[1]:
                    return number
        elif table == tables[0] and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return found


def _known(kind: _Kind, place: Sequence[str]) -> list[str]:
    for part in place:
        field = kind.model_fields.get(part)
        inner: list[Any] = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        kind = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), BaseModel)
    return list(kind.model_fields)
