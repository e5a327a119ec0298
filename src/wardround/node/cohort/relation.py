"""The tables of the health records as Ibis has them, without asking the engine for what `schema` says anyway; lists of
numbers, and what was found already, as tables; and rows as plain Python."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any

import ibis
from ibis.backends import BaseBackend
from ibis.expr.operations import DatabaseTable
from ibis.expr.schema import Schema
from ibis.expr.types import Table

from wardround.node.records.schema import TABLES, Type
from wardround.node.records.store import Connection

_TYPES = {
    Type.INTEGER: "int32",
    Type.BIGINT: "int64",
    Type.FLOAT: "float64",
    Type.TEXT: "string",
    Type.DATE: "date",
    Type.TIMESTAMP: "timestamp",
    Type.BOOLEAN: "boolean",
}


def relation(backend: BaseBackend, name: str) -> Table:
    """A table of `schema.TABLES` on a backend; raises KeyError for another."""
    return DatabaseTable(name=name, schema=_schema(name), source=backend).to_expr()


def listed(backend: BaseBackend, name: str, numbers: Sequence[int]) -> Table:
    """A table of one column of 64-bit integers, called as `name` is, for as long as the backend is connected.

    DuckDB reads them where they lie, once for each name; thousands of literals would take it longer than most
    questions do. PostgreSQL is sent one array.
    """
    if backend.name == "duckdb":
        import pyarrow as pa

        # Of a buffer, as pyarrow loads all of pandas to find out what a list is.
        column = pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(array("q", numbers))])
        connection: Any = backend
        connection.con.register(f"listed_{name}", pa.Table.from_arrays([column], [name]))
        schema = ibis.schema({name: "int64"})
        return DatabaseTable(name=f"listed_{name}", schema=schema, source=backend).to_expr()
    text = f"{{{','.join(map(str, numbers))}}}"
    return ibis.literal(text).cast("array<int64>").unnest().name(name).as_table()


def kept(backend: BaseBackend, name: str, rows: Table) -> tuple[Table, int]:
    """The rows of a query as a temporary table of that name, and how many they are."""
    number = Connection(backend).run(f"CREATE TEMPORARY TABLE {name} AS {backend.compile(rows)}")
    return DatabaseTable(name=name, schema=rows.schema(), source=backend).to_expr(), number


def answered(backend: BaseBackend, rows: Table) -> list[tuple[Any, ...]]:
    """The rows of a query. Ibis has the engine read a query twice, and loads pandas to hand out what it finds."""
    return Connection(backend).rows(backend.compile(rows))


@cache
def _schema(name: str) -> Schema:
    return ibis.schema({column.name: _TYPES[column.type] for column in TABLES[name].columns})
