"""The reader of any CSV that a mapping file describes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.mapped.mapping import Mapping
from wardround.node.records.mapped.reading import read_mapping
from wardround.node.records.mapped.rows import Rows
from wardround.node.records.mapped.template import FILE, ROW
from wardround.node.records.row import Reader, Rejected, Row
from wardround.node.records.sources import Options
from wardround.node.records.tabular.delimited import Delimited, Form
from wardround.node.records.tabular.index import Index
from wardround.node.records.tabular.link import Link

_MEND = "save it as UTF-8, or name its encoding in the mapping (file.encoding)"


def source(options: Options) -> Reader:
    """The reader for `wardround node records load --as csv`.

    Raises:
        RecordsRefused: there is no mapping, or it can't be used.
    """
    mapping = read_mapping(options.mapping)
    return lambda path: read(path, mapping, options.link)


def read(path: Path, mapping: Mapping, link: Path | None = None) -> Iterator[Row | Rejected]:
    """Each file in the order of its name, row by row.

    Raises:
        RecordsRefused: there is no such file, or one isn't what the mapping says.
    """
    files = _files_of(path, mapping.file.files)
    form = Form(mapping.file.separator, mapping.file.encoding, mapping.file.columns, mend=_MEND)
    with Index() as index:
        rows = Rows(mapping, index, Link(link, ("number",), index) if link is not None else None)
        for number, file in enumerate(files, start=1):
            # A file's name may say who it is about.
            with closing(Delimited(file, form, f"file {number}" if len(files) > 1 else "")) as opened:
                yield from _rows(file, opened, mapping, rows)


def _rows(file: Path, opened: Delimited, mapping: Mapping, rows: Rows) -> Iterator[Row | Rejected]:
    wanted = mapping.columns()
    lacking = sorted(wanted - set(opened.columns))
    if lacking:
        have = "file.columns in the mapping lists" if mapping.file.columns else "its first line names"
        raise RecordsRefused(
            f"{file}: there is no column {lacking[0]!r}, which the mapping names; {have} {len(opened.columns)} others; "
            "correct the mapping's separator, columns or names"
        )
    places = [(index, name) for index, name in enumerate(opened.columns) if name in wanted]
    missing = frozenset(mapping.file.missing) | {""}
    for line in opened.rows():
        if isinstance(line, Rejected):
            yield line
            continue
        cells = {name: said for index, name in places if (said := line.cells[index].strip()) not in missing}
        yield from rows.read(cells | {ROW: str(line.number), FILE: file.stem}, line.where)


def _files_of(path: Path, fitting: str) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise RecordsRefused(f"{path}: there is no such file; name a CSV, or a folder of them")
    found = sorted(one for one in path.iterdir() if one.is_file() and fnmatchcase(one.name, fitting))
    if not found:
        raise RecordsRefused(
            f"{path}: no file here is called {fitting}; name one, or correct file.files in the mapping"
        )
    return found
