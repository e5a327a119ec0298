"""The tables in a folder: which file is which, and their rows as texts by column, from CSV and Parquet alike.

Source: OHDSI, Common Data Model 5.4 (https://ohdsi.github.io/CommonDataModel/cdm54.html) for the names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Rejected
from wardround.node.records.schema import RECORDS, VOCABULARY
from wardround.node.records.tabular.delimited import Delimited, Form, separator_of

CONCEPT = "concept"
"""The table of the vocabularies: it tells which code a source concept is."""
_SEPARATED = (".csv", ".tsv", ".txt")
_PARQUET = ".parquet"
_BATCH = 10_000
_NAMES = """
    attribute_definition care_site cdm_source cohort cohort_definition concept_class concept_synonym condition_era cost
    device_exposure domain dose_era drug_era drug_strength episode episode_event fact_relationship image_feature
    image_occurrence location metadata note note_nlp payer_plan_period provider relationship
    source_to_concept_map specimen visit_detail vocabulary
"""
_OTHERS = frozenset(_NAMES.split())
"""Tables of OMOP that aren't loaded. What has another name may be named after somebody, and is told by a number."""
_AT_MIDNIGHT = re.compile(r" 00:00:00$")
MISSING = frozenset({"", "\\N", "NULL", "null", "NA"})
"""How exports write that a value isn't there."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a table. name: what to call it to people."""

    table: str
    path: Path
    name: str

    def open(self) -> Separated | Parquet:
        """Its rows; raises RecordsRefused if it can't be read."""
        return Parquet(self) if self.path.suffix.lower() == _PARQUET else Separated(self)

    def check_has(self, opened: Separated | Parquet, needed: Sequence[str]) -> None:
        """Raise RecordsRefused for the first column that is needed and isn't there."""
        lacking = next((name for name in needed if name not in opened.columns), None)
        if lacking is not None:
            raise RecordsRefused(f"{self.path}: has no column {lacking}, which OMOP CDM 5.4 has there; add it")


def files_of(folder: Path) -> tuple[dict[str, list[File]], list[Rejected]]:
    """The files of each table that is loaded, and of `concept`; and what else is told as not loaded.

    A table is a file, or a folder of files, of its name, in small or capital letters.

    Raises:
        RecordsRefused: there is no such folder, no table in it, or a table twice.
    """
    if not folder.is_dir():
        raise RecordsRefused(f"{folder}: isn't a folder; name the one that holds person.csv (or .parquet) and the rest")
    found: dict[str, list[File]] = {}
    rejected: list[Rejected] = []
    for number, path in enumerate(sorted(folder.iterdir()), start=1):
        table = (path.name if path.is_dir() else path.stem).lower()
        parts = _parts(path)
        if not parts or path.name.startswith(".") or table in VOCABULARY[1:]:
            continue
        if table not in (*RECORDS, CONCEPT):
            rejected.append(Rejected(Reason.UNSUPPORTED, table if table in _OTHERS else f"file {number}"))
            continue
        if table in found:
            raise RecordsRefused(f"{folder}: has the table {table} more than once; leave one")
        many = len(parts) > 1
        found[table] = [
            File(table, part, f"{table} part {at}" if many else f"{table}{part.suffix.lower()}")
            for at, part in enumerate(parts, start=1)
        ]
    if not set(found) - {CONCEPT}:
        raise RecordsRefused(f"{folder}: holds no table of OMOP; name the folder with person.csv (or .parquet)")
    return found, rejected


def _parts(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() in (*_SEPARATED, _PARQUET) else []
    return [one for one in sorted(path.iterdir()) if one.is_file() and _parts(one)] if path.is_dir() else []


class Separated:
    """The rows of a CSV or TSV file."""

    def __init__(self, file: File) -> None:
        separator = separator_of(file.path)
        # OHDSI's vocabularies come with tabs, and with quotes that are part of the names.
        quoted = file.table != CONCEPT or separator != "\t"
        self._file = Delimited(file.path, Form(separator, quoted=quoted), file.name)
        self.columns = tuple(name.lower() for name in self._file.columns)

    def close(self) -> None:
        self._file.close()

    def rows(self, _wanted: list[str]) -> Iterator[tuple[dict[str, str], str] | Rejected]:
        """Values by column, and where they are."""
        for line in self._file.rows():
            if isinstance(line, Rejected):
                yield line
            else:
                yield dict(zip(self.columns, line.cells, strict=True)), line.where


class Parquet:
    """The rows of a Parquet file."""

    def __init__(self, file: File) -> None:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        # Python has no dates beyond its years, which Parquet may hold.
        self._broken = (ArrowException, OSError, ValueError, OverflowError)
        self._named, self._path = file.name, file.path
        try:
            self._file = ParquetFile(file.path)
        except self._broken:
            raise self._unreadable() from None
        self._names = self._file.schema_arrow.names
        self.columns = tuple(name.lower() for name in self._names)
        if len(set(self.columns)) != len(self.columns):
            self._file.close()
            raise RecordsRefused(f"{file.path}: two columns have the same name; rename one of them")

    def close(self) -> None:
        self._file.close()

    def rows(self, wanted: list[str]) -> Iterator[tuple[dict[str, str], str] | Rejected]:
        """Values of the columns that are `wanted`, and where they are."""
        names = [name for name in self._names if name.lower() in wanted]
        at = 0
        try:
            for batch in self._file.iter_batches(_BATCH, columns=names):
                columns = [_in_microseconds(column).to_pylist() for column in batch.columns]
                keys = [name.lower() for name in batch.schema.names]
                for values in zip(*columns, strict=True):
                    at += 1
                    yield dict(zip(keys, map(_text, values), strict=True)), f"{self._named} row {at}"
        except self._broken:
            raise self._unreadable() from None

    def _unreadable(self) -> RecordsRefused:
        return RecordsRefused(f"{self._path}: can't be read as Parquet; write it anew, or as CSV")


def _in_microseconds(column: Any) -> Any:
    """A column of times without what is finer than Python's."""
    from pyarrow import timestamp, types

    return column.cast(timestamp("us"), safe=False) if types.is_timestamp(column.type) else column


def _text(value: object) -> str:
    """A value of Parquet as CSV would have it; what a cell can't hold isn't there."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    if isinstance(value, datetime):
        return _AT_MIDNIGHT.sub("", value.replace(tzinfo=None).isoformat(" ", "seconds"))
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else ""
