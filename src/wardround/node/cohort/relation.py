"""The tables of the health records as Ibis has them, without asking the engine for what `schema` says anyway; and lists
of numbers as tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import ibis
from ibis.backends import BaseBackend
from ibis.expr.operations import DatabaseTable
from ibis.expr.schema import Schema
from ibis.expr.types import Table

from wardround.node.records.schema import TABLES, Type

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

        connection: Any = backend
        connection.con.register(f"listed_{name}", pa.table({name: pa.array(numbers, pa.int64())}))
        schema = ibis.schema({name: "int64"})
        return DatabaseTable(name=f"listed_{name}", schema=schema, source=backend).to_expr()
    array = f"{{{','.join(map(str, numbers))}}}"
    return ibis.literal(array).cast("array<int64>").unnest().name(name).as_table()


@cache
def _schema(name: str) -> Schema:
    return ibis.schema({column.name: _TYPES[column.type] for column in TABLES[name].columns})
