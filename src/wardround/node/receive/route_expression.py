"""The language of rules: what an object has to be like, as one line of text that becomes a frozen tree.

```
Modality == "MR" and BodyPartExamined in ("BRAIN", "HEAD") and not SeriesDescription matches "localizer.*"
```

| written | holds where |
|---|---|
| `A == x`, `A in (x, y)` | one of the attribute's values is x, or is among them |
| `A != x`, `A not in (x, y)` | it has values, and none is x, or among them |
| `A < x`, `<=`, `>`, `>=` | one of its values is; numbers, dates, times and ages only (`route_facts.in_order`) |
| `A like "*text?"` | one of its values is like that: `*` any characters, `?` one, letters of either case |
| `A matches "pat+ern"` | one of its values matches as a whole, letters of either case (`route_pattern`) |
| `present(A)` | it has a value |
| `not …`, `… and …`, `… or …`, `( … )` | as usual, in this order of strength |

A is a DICOM keyword (PS3.6), `called_title` or `calling_title`. What is absent or empty compares false, whatever the
comparison. Nothing here is ever evaluated as code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wardround.node.receive.route_facts import (
    TITLES,
    AttributeRefused,
    Facts,
    Kind,
    Value,
    attribute,
    example,
    has_order,
    in_order,
)
from wardround.node.receive.route_pattern import Pattern, PatternRefused, glob

LONGEST = 2000
DEEPEST = 40
_TEXT = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_TOKEN = re.compile(r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<number>-?\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_]\w*)|(?P<sign>==|!=|<=|>=|[<>(),]))""", re.VERBOSE)  # fmt: skip
_ORDERING = frozenset({"<", "<=", ">", ">="})
_WORDS = frozenset({"and", "or", "not", "in", "like", "matches", "present"})


class ExpressionRefused(ValueError):
    """An expression that isn't one: says what and the mend, and `at`, the place in the text, from 1."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(f"{what} (at character {at})")
        self.at = at


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Expression, ...]

    def holds(self, facts: Facts) -> bool:
        return any(part.holds(facts) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Expression, ...]

    def holds(self, facts: Facts) -> bool:
        return all(part.holds(facts) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    part: Expression

    def holds(self, facts: Facts) -> bool:
        return not self.part.holds(facts)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One attribute beside literals. `operator` is as it was written; `present` has no operands."""

    name: str
    operator: str
    operands: tuple[Value | Pattern, ...] = ()

    def holds(self, facts: Facts) -> bool:
        values, operands = facts.values(self.name), self.operands
        if self.operator in _ORDERING:
            values, operands = self._placed(values), self._placed(operands)
        return bool(values) and _OPERATORS[self.operator](values, operands)

    def _placed(self, values: tuple[Value | Pattern, ...]) -> tuple[Value, ...]:
        """What has a place in the attribute's order, as that place."""
        placed = (in_order(self.name, value) for value in values if not isinstance(value, Pattern))
        return tuple(place for place in placed if place is not None)


Expression = AnyOf | AllOf | Not | Comparison


def _ordered(test: Callable[[Value, Value], bool]) -> Callable[[tuple[Value, ...], tuple[Value | Pattern, ...]], bool]:
    def holds(values: tuple[Value, ...], operands: tuple[Value | Pattern, ...]) -> bool:
        [operand] = operands
        return not isinstance(operand, Pattern) and any(test(value, operand) for value in values)

    return holds


def _fits(values: tuple[Value, ...], operands: tuple[Value | Pattern, ...]) -> bool:
    [pattern] = operands
    return isinstance(pattern, Pattern) and any(pattern.matches(str(value)) for value in values)


_OPERATORS: dict[str, Callable[[tuple[Value, ...], tuple[Value | Pattern, ...]], bool]] = {
    "==": lambda values, operands: any(value in operands for value in values),
    "in": lambda values, operands: any(value in operands for value in values),
    "!=": lambda values, operands: not any(value in operands for value in values),
    "not in": lambda values, operands: not any(value in operands for value in values),
    "<": _ordered(lambda value, operand: value < operand),  # type: ignore[operator]  # kinds agree since parsing
    "<=": _ordered(lambda value, operand: value <= operand),  # type: ignore[operator]  # kinds agree since parsing
    ">": _ordered(lambda value, operand: value > operand),  # type: ignore[operator]  # kinds agree since parsing
    ">=": _ordered(lambda value, operand: value >= operand),  # type: ignore[operator]  # kinds agree since parsing
    "like": _fits,
    "matches": _fits,
    "present": lambda _values, _operands: True,
}


def names(expression: Expression) -> Iterator[str]:
    """The attributes and titles that an expression looks at, in the order in which they are written."""
    match expression:
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from names(part)
        case Not(part):
            yield from names(part)
        case Comparison(name):
            yield name


def parse(text: str) -> Expression:
    """The tree of an expression.

    Raises:
        ExpressionRefused: it isn't one, names an attribute that can't be looked at, or compares unlike things.
    """
    if len(text) > LONGEST:
        raise ExpressionRefused(f"an expression has at most {LONGEST} characters; make two rules of it", LONGEST)
    parser = _Parser(text)
    expression = parser.either(0)
    parser.end()
    return expression


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    pos = 0
    while text[pos:].strip():
        found = _TOKEN.match(text, pos)
        if found is None:
            at = pos + len(text[pos:]) - len(text[pos:].lstrip()) + 1
            mend = "close the quotes" if text[at - 1] in "\"'" else "remove it"
            raise ExpressionRefused(f"{text[at - 1]} can't be read here; {mend}", at)
        kind = found.lastgroup or ""
        yield _Token(kind, found[kind], found.start(kind) + 1)
        pos = found.end()
    yield _Token("end", "", len(text) + 1)


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._pos = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._pos]

    def _take(self) -> _Token:
        token = self._next
        self._pos += 1
        return token

    def _taken(self, text: str) -> bool:
        found = self._next.kind in ("name", "sign") and self._next.text == text
        self._pos += found
        return found

    def _expect(self, text: str, what: str) -> None:
        if not self._taken(text):
            raise ExpressionRefused(f"{text} is missing {what}; add it", self._next.at)

    def end(self) -> None:
        if self._next.kind != "end":
            raise ExpressionRefused(f"{self._next.text} isn't expected here; join conditions by and, or", self._next.at)

    def either(self, depth: int) -> Expression:
        parts = [self._both(depth)]
        while self._taken("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _both(self, depth: int) -> Expression:
        parts = [self._negated(depth)]
        while self._taken("and"):
            parts.append(self._negated(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _negated(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise ExpressionRefused(f"conditions are nested more than {DEEPEST} deep; make two rules", self._next.at)
        if self._taken("not"):
            return Not(self._negated(depth + 1))
        if self._taken("("):
            inner = self.either(depth + 1)
            self._expect(")", "after a condition in parentheses")
            return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        if self._taken("present"):
            self._expect("(", "after present")
            name, _ = self._name()
            self._expect(")", "after the name")
            return Comparison(name, "present")
        name, kind = self._name()
        sign = self._take()
        operator = sign.text
        if operator == "not":
            self._expect("in", "after not")
            operator = "not in"
        if sign.kind not in ("sign", "name") or operator not in _OPERATORS or operator == "present":
            mend = f"compare it, as in {name} == …, or write present({name})"
            raise ExpressionRefused(f"{name} stands alone; {mend}", sign.at)
        if operator in ("like", "matches"):
            return Comparison(name, operator, (self._pattern(name, kind, operator),))
        if operator in ("in", "not in"):
            return Comparison(name, operator, self._list(name, kind))
        if operator in _ORDERING and not has_order(name):
            raise ExpressionRefused(f"{name} is text and has no order; use ==, in, like or matches", sign.at)
        return Comparison(name, operator, (self._operand(name, kind),))

    def _name(self) -> tuple[str, Kind]:
        token = self._take()
        if token.kind != "name" or token.text in _WORDS:
            found = token.text or "the end"
            raise ExpressionRefused(f"a condition begins with an attribute, not with {found}; put it first", token.at)
        if token.text in TITLES:
            return token.text, Kind.TEXT
        try:
            return token.text, attribute(token.text)[1]
        except AttributeRefused as refused:
            raise ExpressionRefused(str(refused), token.at) from None

    def _operand(self, name: str, kind: Kind) -> Value:
        at = self._next.at
        value = self._literal(name, kind)
        if (form := example(name)) is not None and in_order(name, value) is None:
            raise ExpressionRefused(f'{name} is written as "{form}", not as "{value}"; correct it', at)
        return value

    def _literal(self, name: str, kind: Kind) -> Value:
        token = self._take()
        if token.kind == "text" and kind is Kind.TEXT:
            return unquoted(token.text) or ""
        if token.kind == "number" and kind is Kind.NUMBER:
            return self._number(token)
        if token.kind not in ("text", "number"):
            found = token.text or "the end"
            raise ExpressionRefused(f"{name} is compared with {found}; write a text in quotes or a number", token.at)
        mend = f'write "{token.text}"' if kind is Kind.TEXT else "write a number without quotes"
        raise ExpressionRefused(f"{name} holds {kind}, {token.text} is none; {mend}", token.at)

    def _number(self, token: _Token) -> float:
        number = float(token.text)
        if not math.isfinite(number):
            raise ExpressionRefused("a number is too large; write a smaller one", token.at)
        return number

    def _list(self, name: str, kind: Kind) -> tuple[Value, ...]:
        self._expect("(", "before the list")
        values = [self._operand(name, kind)]
        while self._taken(","):
            if self._next.text == ")":
                break
            values.append(self._operand(name, kind))
        self._expect(")", "after the list")
        return tuple(values)

    def _pattern(self, name: str, kind: Kind, operator: str) -> Pattern:
        if kind is not Kind.TEXT:
            raise ExpressionRefused(f"{name} holds numbers; compare them by == or <", self._next.at)
        at = self._next.at
        text = str(self._literal(name, kind))
        try:
            return Pattern(text) if operator == "matches" else glob(text)
        except PatternRefused as refused:
            raise ExpressionRefused(str(refused), at) from None


def unquoted(literal: str) -> str | None:
    """The text of a literal in quotes, None if it is none.

    A backslash counts only before the quote that the text is in: patterns have uses for it.
    """
    if not _TEXT.fullmatch(literal):
        return None
    return literal[1:-1].replace("\\" + literal[0], literal[0])
