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
    """One character: of those named, or of all but those."""

    named: frozenset[str]
    others: bool
    then: int


@dataclass(frozen=True, slots=True)
class _Either:
    """A fork that takes no character."""

    ways: tuple[int, ...]


_END = -1


class Pattern:
    """A pattern, ready to match.

    Raises:
        PatternRefused: it is too long or isn't a pattern.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_PATTERN:
            raise PatternRefused(f"a pattern has at most {LONGEST_PATTERN} characters; split the rule")
        self.text = text
        self._states, self._start = _Compiler(text.lower()).compile()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def matches(self, text: str) -> bool:
        """Whether the pattern stands for the whole of `text`, or of its first `LONGEST_TEXT` characters."""
        here = self._closed([self._start])
        for character in text[:LONGEST_TEXT].lower():
            following: list[int] = []
            for state in here:
                if state == _END:
                    continue
                taken = self._states[state]
                if isinstance(taken, _Characters) and (character in taken.named) is not taken.others:
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
    return Pattern("".join(words.get(one) or (one if one.isalnum() or one == " " else "\\" + one) for one in text))


class _Compiler:
    """Builds the automaton from its end to its beginning: each part is given the state that follows it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pos = 0
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
            while (times := self._peek()) and times in "*+?":
                self._pos += 1
                part = (times, part)
            parts.append(part)
        return tuple(parts)

    def _atom(self) -> tuple[object, ...]:
        one = self._take()
        if one == "(":
            inner = self._alternatives()
            if self._peek() != ")":
                raise PatternRefused("an opening parenthesis has no closing one; add it or write \\(")
            self._pos += 1
            return inner
        if one == ".":
            return ("one", frozenset[str](), True)
        if one == "[":
            return self._set()
        if one in _UNSUPPORTED:
            raise PatternRefused(f"{_UNSUPPORTED[one]}, or write \\{one} for the character")
        if one == "\\":
            return ("one", self._escaped(), False)
        return ("one", frozenset(one), False)

    def _escaped(self) -> frozenset[str]:
        one = self._peek()
        if not one:
            raise PatternRefused("a backslash ends the pattern; write \\\\ for the character")
        self._pos += 1
        if one in _CLASSES:
            return _CLASSES[one]
        if one.isalnum():
            raise PatternRefused(f"\\{one} isn't known here; there are \\d, \\w and \\s")
        return frozenset(one)

    def _set(self) -> tuple[object, ...]:
        others = self._peek() == "^"
        self._pos += others
        named: set[str] = set()
        while (one := self._peek()) != "]" or not named:
            if not one:
                raise PatternRefused("an opening bracket has no closing one; add it or write \\[")
            self._pos += 1
            if one == "\\":
                named |= self._escaped()
            elif self._peek() == "-" and self._text[self._pos + 1 : self._pos + 2] not in ("", "]"):
                self._pos += 1
                last = self._take()
                if not one <= last:
                    raise PatternRefused(f"the range {one}-{last} is upside down; write {last}-{one}")
                named |= {chr(code) for code in range(ord(one), min(ord(last), ord(one) + 4096) + 1)}
            else:
                named.add(one)
        self._pos += 1
        return ("one", frozenset(named), others)

    def _peek(self) -> str:
        return self._text[self._pos : self._pos + 1]

    def _take(self) -> str:
        self._pos += 1
        return self._text[self._pos - 1]

    def _add(self, tree: object, then: int) -> int:
        assert isinstance(tree, tuple)  # noqa: S101 - the shape that this class made
        kind, *parts = tree
        if kind == "one":
            self._states.append(_Characters(parts[0], parts[1], then))
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
