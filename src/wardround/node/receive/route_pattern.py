"""Patterns of text that match in time linear in the text, whatever the pattern: no backtracking.

A small part of what regular expressions commonly have: characters, `.`, `[a-z]`, `[^a-z]`, `\\d`, `\\w`, `\\s`, groups,
`|`, `*`, `+` and `?`. A pattern stands for the whole text and takes no notice of upper and lower case. It becomes a
nondeterministic automaton whose states are all followed at once (K. Thompson, Regular expression search algorithm,
Communications of the ACM 11(6), 1968).
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PATTERN = 256
LONGEST_TEXT = 1024
"""Characters of a value that are looked at."""
DEEPEST_GROUP = 40
_CLASSES = {
    "d": frozenset("0123456789"),
    "w": frozenset("abcdefghijklmnopqrstuvwxyz0123456789_"),
    "s": frozenset(" \t\r\n\f\v"),
}
_UNSUPPORTED = {
    "{": "a count in braces isn't known here; write the repetition out",
    "}": "a count in braces isn't known here; write the repetition out",
    "^": "a pattern stands for the whole text already; remove the ^",
    "$": "a pattern stands for the whole text already; remove the $",
}


class PatternRefused(ValueError):
    """A pattern that isn't one; says what and, as a rule, the mend."""


@dataclass(frozen=True, slots=True)
class _Characters:
    """One character: of those named and those in the ranges, or of all but those."""

    named: frozenset[str]
    ranges: tuple[tuple[str, str], ...]
    others: bool
    then: int

    def takes(self, character: str) -> bool:
        inside = character in self.named or any(first <= character <= last for first, last in self.ranges)
        return inside is not self.others


@dataclass(frozen=True, slots=True)
class _Either:
    """A fork that takes no character."""

    ways: tuple[int, ...]


_END = -1


class Pattern:
    """A pattern, ready to match. `written` is how a person wrote it: the text itself, or what `glob` was given.

    Raises:
        PatternRefused: it is too long or isn't a pattern.
    """

    def __init__(self, text: str, *, written: str | None = None) -> None:
        if len(text) > LONGEST_PATTERN:
            raise PatternRefused(f"a pattern has at most {LONGEST_PATTERN} characters; split the rule")
        self.text = text
        self.written = text if written is None else written
        self._states, self._start = _Compiler(text).compile()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def matches(self, text: str) -> bool:
        """Whether the pattern stands for the whole of `text`, or of its first `LONGEST_TEXT` characters."""
        here = self._closed([self._start])
        for character in map(_lower, text[:LONGEST_TEXT]):
            following: list[int] = []
            for state in here:
                if state == _END:
                    continue
                taken = self._states[state]
                if isinstance(taken, _Characters) and taken.takes(character):
                    following.append(taken.then)
            if not following:
                return False
            here = self._closed(following)
        return _END in here

    def _closed(self, states: list[int]) -> set[int]:
        """The states that are reached from these without another character."""
        reached: set[int] = set()
        while states:
            state = states.pop()
            if state in reached:
                continue
            reached.add(state)
            if state != _END and isinstance(fork := self._states[state], _Either):
                states.extend(fork.ways)
        return reached


def glob(text: str) -> Pattern:
    """The pattern of a text in which `*` stands for any characters and `?` for one; every other for itself.

    Raises:
        PatternRefused: it is too long.
    """
    words = {"*": ".*", "?": "."}
    pattern = (words.get(one) or (one if one.isalnum() or one == " " else "\\" + one) for one in text)
    return Pattern("".join(pattern), written=text)


def _lower(one: str) -> str:
    """A character in lower case; itself, where that would be two characters."""
    lower = one.lower()
    return lower if len(lower) == 1 else one


class _Compiler:
    """Builds the automaton from its end to its beginning: each part is given the state that follows it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pos = self._depth = 0
        self._states: list[_Characters | _Either] = []

    def compile(self) -> tuple[list[_Characters | _Either], int]:
        tree = self._alternatives()
        if self._pos != len(self._text):
            raise PatternRefused("a closing parenthesis has no opening one; remove it or write \\)")
        return self._states, self._add(tree, _END)

    def _alternatives(self) -> tuple[object, ...]:
        ways = [self._sequence()]
        while self._peek() == "|":
            self._pos += 1
            ways.append(self._sequence())
        return ("or", *ways)

    def _sequence(self) -> tuple[object, ...]:
        parts: list[object] = ["then"]
        while (one := self._peek()) not in ("", "|", ")"):
            if one in "*+?":
                raise PatternRefused(f"{one} has nothing before it to repeat; write \\{one} for the character")
            part = self._atom()
            if times := self._times():
                part = (times, part)
            parts.append(part)
        return tuple(parts)

    def _times(self) -> str:
        """How often what came before may be there; two different marks in a row come to `*`."""
        times = ""
        while (one := self._peek()) and one in "*+?":
            self._pos += 1
            times = one if times in ("", one) else "*"
        return times

    def _atom(self) -> tuple[object, ...]:
        one = self._take()
        if one == "(":
            self._depth += 1
            if self._depth > DEEPEST_GROUP:
                raise PatternRefused(f"groups are nested more than {DEEPEST_GROUP} deep; split the rule")
            inner = self._alternatives()
            self._depth -= 1
            if self._peek() != ")":
                raise PatternRefused("an opening parenthesis has no closing one; add it or write \\(")
            self._pos += 1
            return inner
        if one == ".":
            return ("one", frozenset[str](), (), True)
        if one == "[":
            return self._set()
        if one in _UNSUPPORTED:
            raise PatternRefused(f"{_UNSUPPORTED[one]}, or write \\{one} for the character")
        if one == "\\":
            return ("one", self._escaped(), (), False)
        return ("one", frozenset(_lower(one)), (), False)

    def _escaped(self) -> frozenset[str]:
        one = self._peek()
        if not one:
            raise PatternRefused("a backslash ends the pattern; write \\\\ for the character")
        self._pos += 1
        if one in _CLASSES:
            return _CLASSES[one]
        if one.isalnum():
            raise PatternRefused(f"\\{one} isn't known here; there are \\d, \\w and \\s")
        return frozenset(_lower(one))

    def _set(self) -> tuple[object, ...]:
        others = self._peek() == "^"
        self._pos += others
        named: set[str] = set()
        ranges: list[tuple[str, str]] = []
        while (one := self._peek()) != "]" or not (named or ranges):
            if not one:
                raise PatternRefused("an opening bracket has no closing one; add it or write \\[")
            self._pos += 1
            if one == "\\":
                named |= self._escaped()
            elif self._peek() == "-" and self._text[self._pos + 1 : self._pos + 2] not in ("", "]"):
                self._pos += 1
                ranges.append(self._range(one, self._take()))
            else:
                named.add(_lower(one))
        self._pos += 1
        return ("one", frozenset(named), tuple(ranges), others)

    def _range(self, first: str, last: str) -> tuple[str, str]:
        if first == "\\" or last == "\\":
            raise PatternRefused("a range goes from one plain character to another; write them out")
        if first > last:
            raise PatternRefused(f"the range {first}-{last} is upside down; write {last}-{first}")
        if first.isupper() != last.isupper() and first.isalpha() and last.isalpha():
            raise PatternRefused(f"the range {first}-{last} mixes letters of either case; write a-z")
        return _lower(first), _lower(last)

    def _peek(self) -> str:
        return self._text[self._pos : self._pos + 1]

    def _take(self) -> str:
        self._pos += 1
        return self._text[self._pos - 1]

    def _add(self, tree: object, then: int) -> int:
        assert isinstance(tree, tuple)  # noqa: S101 - the shape that this class made
        kind, *parts = tree
        if kind == "one":
            self._states.append(_Characters(parts[0], parts[1], parts[2], then))
        elif kind == "then":
            for part in reversed(parts):
                then = self._add(part, then)
            return then
        elif kind == "or":
            ways = tuple(self._add(part, then) for part in parts)
            self._states.append(_Either(ways))
        elif kind == "?":
            self._states.append(_Either((self._add(parts[0], then), then)))
        else:
            self._states.append(_Either(()))
            loop = len(self._states) - 1
            once = self._add(parts[0], loop)
            self._states[loop] = _Either((once, then))
            return loop if kind == "*" else once
        return len(self._states) - 1
