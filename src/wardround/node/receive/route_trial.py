"""What the rules make of one object, step by step, for the person who writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.header_prefix import WINDOW
from wardround.node.receive.arrival import Head, Unreadable, read_head
from wardround.node.receive.route import NO_RULE, Routes, Rule
from wardround.node.receive.route_expression import AllOf, AnyOf, Comparison, Expression, Not, unquoted
from wardround.node.receive.route_facts import Facts, Value
from wardround.node.receive.route_pattern import Pattern

_TRANSFER_SYNTAX = 0x00020010


@dataclass(frozen=True, slots=True)
class Look:
    """One comparison of a rule, whether it held, and the object's values that it looked at."""

    comparison: Comparison
    holds: bool
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule said. `looks` has all its comparisons as they are written, asked for or not."""

    rule: Rule
    holds: bool
    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """The rule that takes an object, `NO_RULE` if none does, and what each rule up to it said."""

    taken: Rule
    outcomes: tuple[Outcome, ...]


def try_rules(routes: Routes, facts: Facts) -> Trial:
    """What these rules make of an object; `taken` is what `Routes.decide` says."""
    outcomes = []
    for rule in routes.rules:
        looks = tuple(Look(one, one.holds(facts), facts.values(one.name)) for one in comparisons(rule.when))
        outcomes.append(Outcome(rule, rule.holds(facts), looks))
        if outcomes[-1].holds:
            return Trial(rule, tuple(outcomes))
    return Trial(NO_RULE, tuple(outcomes))


def try_file(file: Path, routes: Routes, *, called_title: str = "", calling_title: str = "") -> Trial:
    """What these rules make of a DICOM Part 10 file, read as the front door reads it.

    Raises:
        Unreadable: the front door wouldn't take it, whatever the rules say.
        OSError: the file can't be read.
    """
    head, syntax = read_file_head(file, routes.tags)
    facts = Facts(head.values, transfer_syntax=syntax, called_title=called_title, calling_title=calling_title)
    return try_rules(routes, facts)


def read_file_head(file: Path, tags: frozenset[int]) -> tuple[Head, str]:
    """The head of a DICOM Part 10 file with the values of these attributes, and its transfer syntax.

    Raises:
        Unreadable: the front door wouldn't take it.
        OSError: the file can't be read.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        try:
            meta, start = read_file_meta(os.pread(descriptor, WINDOW, 0))
        except Refused as refused:
            raise Unreadable(refused.reason_code) from None
        syntax = meta.get(_TRANSFER_SYNTAX, "")
        return read_head(lambda pos, length: os.pread(descriptor, length, start + pos), syntax, tags), syntax
    finally:
        os.close(descriptor)


def comparisons(expression: Expression | None) -> Iterator[Comparison]:
    """The comparisons of an expression, in the order in which they are written."""
    match expression:
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from comparisons(part)
        case Not(part):
            yield from comparisons(part)
        case Comparison():
            yield expression


def written(expression: Expression) -> str:
    """An expression as text; `parse` makes the same tree of it."""
    match expression:
        case AnyOf(parts):
            return " or ".join(_inside(part, AnyOf) for part in parts)
        case AllOf(parts):
            return " and ".join(_inside(part, AnyOf, AllOf) for part in parts)
        case Not(part):
            return f"not {_inside(part, AnyOf, AllOf)}"
        case Comparison(name, "present"):
            return f"present({name})"
        case Comparison(name, "in" | "not in" as operator, operands):
            return f"{name} {operator} ({', '.join(map(_literal, operands))})"
        case Comparison(name, operator, operands):
            return f"{name} {operator} {_literal(operands[0])}"


def _inside(part: Expression, *weaker: type) -> str:
    return f"({written(part)})" if isinstance(part, weaker) else written(part)


def _literal(value: Value | Pattern) -> str:
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}".removesuffix(".0")
    text = value.written if isinstance(value, Pattern) else value
    for quote in "\"'":
        quoted = quote + text.replace(quote, "\\" + quote) + quote
        if unquoted(quoted) == text:
            return quoted
    raise ValueError("a text that no expression could have held")
