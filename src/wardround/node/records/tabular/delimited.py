"""Rows out of a file of separated values, one at a time; what can't be read is told by its line, and reading goes on.

Source: RFC 4180, with any one separator, any end of line, and a byte order mark.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self, TextIO

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Rejected

LONGEST_LINE = 1 << 20
"""Characters of one line, at most."""
MOST_LINES = 10_000
"""Lines of one row, at most, where a quoted value has ends of lines in it."""
MOST_COLUMNS = 10_000
ENCODINGS: Mapping[str, str] = MappingProxyType(
    {
        "utf-8": "utf-8-sig",
        "utf-16": "utf-16",
        "ascii": "ascii",
        "latin-1": "latin-1",
        **{f"iso-8859-{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 7, 8, 9, 10, 13, 14, 15, 16)},
        **{f"windows-{page}": f"cp{page}" for page in range(1250, 1259)},
    }
)
"""Names of encodings to Python's; a mark at the start of UTF-8 is no part of the text."""
_UNDECODED = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is written. columns: their names, where no line of the file says them; quoted: whether quotes mean
    anything; mend: what a person can do about another encoding."""

    separator: str = ","
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    quoted: bool = True
    mend: str = "save the file as UTF-8"


@dataclass(frozen=True, slots=True)
class Line:
    """A row: as many cells as there are columns; `number` counts rows from 1, those that can't be read among them."""

    cells: list[str] = field(repr=False)
    number: int
    where: str


class Delimited:
    """An open file of separated values.

    Args:
        name: what to call the file where a line is told; empty where there is but one.

    Raises:
        RecordsRefused: it can't be read, has no header, or two columns of one name.
    """

    def __init__(self, path: Path, form: Form, name: str = "") -> None:
        self._path, self._form, self._name = path, form, name
        # UTF-16 has no way to hold bytes that aren't text and go on; nor does it need one.
        errors = "strict" if form.encoding == "utf-16" else "surrogateescape"
        try:
            self._file = path.open(encoding=ENCODINGS[form.encoding], errors=errors, newline="")
        except OSError as error:
            raise RecordsRefused(f"{path}: can't be read ({error.strerror}); mend that, and load again") from None
        self._lines = _Lines(self._file)
        self._rows = csv.reader(
            self._lines,
            delimiter=form.separator,
            strict=True,
            quoting=csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE,
        )
        try:
            self.columns = form.columns or self._header()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def rows(self) -> Iterator[Line | Rejected]:
        """Each row in turn; empty lines are left out.

        Raises:
            RecordsRefused: a line isn't in the file's encoding, or the file can't be read on.
        """
        number = 0
        while (found := self._next()) is not None:
            if found == []:
                continue
            number += 1
            if isinstance(found, Rejected):
                yield found
            elif len(found) != len(self.columns):
                yield Rejected(Reason.MALFORMED, f"{self._where()}: {len(found)} values, not {len(self.columns)}")
            else:
                yield Line(found, number, self._where())

    def _header(self) -> tuple[str, ...]:
        found: list[str] | Rejected | None = []
        while found == []:
            found = self._next()
        if found is None:
            raise RecordsRefused(f"{self._path}: is empty; a first line with the names of the columns is needed")
        if self._lines.has_nul:
            raise RecordsRefused(
                f"{self._path}: line {self._lines.first} has NUL characters, as UTF-16 has when it is read as another "
                f"encoding; {self._form.mend}"
            )
        if isinstance(found, Rejected):
            raise RecordsRefused(
                f"{self._path}: line {self._lines.first}, the columns' names, can't be read; mend its quotes"
            )
        names = tuple(name.strip() for name in found)
        if len(names) > MOST_COLUMNS:
            raise RecordsRefused(f"{self._path}: more than {MOST_COLUMNS} columns; leave out those of no use")
        first: dict[str, int] = {}
        for number, name in enumerate(names, start=1):
            if name and first.setdefault(name, number) != number:
                raise RecordsRefused(
                    f"{self._path}: columns {first[name]} and {number} have the same name; rename one of them"
                )
        return names

    def _next(self) -> list[str] | Rejected | None:
        """The next row, or why it can't be read; None at the end."""
        self._lines.begin()
        try:
            row = next(self._rows)
        except StopIteration:
            return None
        except csv.Error as error:
            if "field limit" in str(error):
                return Rejected(Reason.TOO_LARGE, self._where())
            return Rejected(Reason.MALFORMED, f"{self._where()}: quotes that don't match")
        except _TooLarge:
            return Rejected(Reason.TOO_LARGE, self._where())
        except UnicodeError:
            raise self._undecoded(f"what follows line {self._lines.line}") from None
        except _Undecoded:
            raise self._undecoded(f"line {self._lines.line}") from None
        except OSError as error:
            raise RecordsRefused(f"{self._path}: can't be read on ({error.strerror}); load it again") from None
        if self._lines.has_nul:
            return Rejected(Reason.MALFORMED, f"{self._where()}: NUL characters")
        return row

    def _where(self) -> str:
        first, last = self._lines.first, self._lines.line
        lines = f"line {first}" if last <= first else f"lines {first} to {last}"
        return f"{self._name} {lines}" if self._name else lines

    def _undecoded(self, where: str) -> RecordsRefused:
        return RecordsRefused(f"{self._path}: {where} isn't {self._form.encoding.upper()}; {self._form.mend}")


class _TooLarge(Exception):
    """A line, or a row, is longer than one may be."""


class _Undecoded(Exception):
    """A line has bytes that aren't text."""


class _Lines:
    """A file's lines, counted. After an error it goes on with the next line, which a generator wouldn't."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.line = 0
        self.first = 1
        self.has_nul = False

    def begin(self) -> None:
        """A new row begins."""
        self.first = self.line + 1
        self.has_nul = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.line += 1
        if not line.isascii() and _UNDECODED.search(line):
            raise _Undecoded
        self.has_nul = self.has_nul or "\0" in line
        if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
            while line and line[-1] not in "\r\n":
                line = self._file.readline(LONGEST_LINE)
            raise _TooLarge
        if self.line - self.first >= MOST_LINES:
            raise _TooLarge
        return line


def separator_of(path: Path) -> str:
    """A tab where the file's first line has one, else a comma; a file that can't be read is told when it is opened."""
    try:
        with path.open("rb") as file:
            return "\t" if b"\t" in file.readline(LONGEST_LINE) else ","
    except OSError:
        return ","
