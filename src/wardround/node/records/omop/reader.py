"""The reader of OMOP: a folder of tables as CSV, TSV or Parquet.

Who a person is: what the link file says of their `person_id` or `person_source_value`; without one,
`person_source_value` is the patient's number as the images have it, of the hospital's own issuer. The table `concept`,
where it is beside the others, tells which code each source concept is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.hl7.values import NotTaken
from wardround.node.records.omop.codes import Codes
from wardround.node.records.omop.columns import Columns
from wardround.node.records.omop.people import People
from wardround.node.records.omop.tables import CONCEPT, MISSING, File, Parquet, Separated, files_of
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Reader, Rejected, Row
from wardround.node.records.schema import PERSON, RECORDS
from wardround.node.records.sources import Options
from wardround.node.records.tabular.cells import whole
from wardround.node.records.tabular.index import Index
from wardround.node.records.tabular.link import Link

_PLAIN = re.compile(r"[a-z][a-z0-9_]{0,39}")


def source(options: Options) -> Reader:
    """The reader for `wardround node records load --as omop`.

    Raises:
        RecordsRefused: a mapping is given.
    """
    if options.mapping:
        raise RecordsRefused("OMOP tables take no mapping file; leave it out, or load them --as csv")
    return lambda path: read(path, options.link)


def read(path: Path, link: Path | None = None) -> Iterator[Row | Rejected]:
    """Persons first, then each table in turn; what isn't loaded is told once, before all else.

    Raises:
        RecordsRefused: the folder, a table or the link file can't be used.
    """
    files, rejected = files_of(path)
    yield from rejected
    with Index() as index:
        people = People(index, Link(link, ("person_id", "person_source_value"), index) if link is not None else None)
        if PERSON not in files and not people.by_number:
            raise RecordsRefused(
                f"{path}: has no table person, which says whose each record is; add it, or link by person_id"
            )
        codes = Codes(index)
        for file in files.get(CONCEPT, ()):
            codes.learn(file)
        for table in RECORDS:
            for file in files.get(table, ()):
                with closing(file.open()) as opened:
                    yield from _rows(file, opened, people, codes, index)


def _rows(
    file: File, opened: Separated | Parquet, people: People, codes: Codes, index: Index
) -> Iterator[Row | Rejected]:
    columns = Columns(file.table)
    file.check_has(opened, [*columns.needed, *people.needed(file.table)])
    for number, name in enumerate(opened.columns, start=1):
        if name not in columns.known:
            called = f"column {name}" if _PLAIN.fullmatch(name) else f"column {number}"
            yield Rejected(Reason.UNKNOWN_COLUMN, f"{file.name} {called}")
    for found in opened.rows(columns.wanted):
        if isinstance(found, Rejected):
            yield found
            continue
        cells, where = found
        try:
            yield _row(columns, cells, where, people, codes, index)
        except NotTaken as refused:
            yield refused.at(where)


def _row(columns: Columns, cells: dict[str, str], where: str, people: People, codes: Codes, index: Index) -> Row:
    number = _number(cells, "person_id")
    if number is None:
        raise NotTaken(Reason.NO_PERSON, "person_id")
    key = number if columns.key in (None, "person_id") else _number(cells, columns.key or "")
    if key is None:
        raise NotTaken(Reason.MALFORMED, f"{columns.key} is no number")
    if not index.add(columns.table, key):
        raise NotTaken(Reason.DUPLICATE, columns.key or "person_id")
    if columns.table == PERSON:
        people.meet(number, cells.get("person_source_value", ""))
    person = people.of(number)
    return Row(columns.table, str(key), person, columns.values(cells, MISSING, codes.of), where)


def _number(cells: dict[str, str], name: str) -> int | None:
    return whole(cells.get(name, "").strip())
