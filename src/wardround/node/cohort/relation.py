"""The tables of the health records as Ibis has them, without asking the engine for what `schema` says anyway."""

from __future__ import annotations

from functools import cache

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


@cache
def _schema(name: str) -> Schema:
    return ibis.schema({column.name: _TYPES[column.type] for column in TABLES[name].columns})
