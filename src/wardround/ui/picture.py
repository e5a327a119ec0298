"""A picture of what leads to what, as SVG made on the server: boxes in columns, and lines between them.

It prints and needs no script. What it shows stands in a table beside it too, where the links are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 720
_BETWEEN, _ABOVE, _LINE, _PAD = 50, 10, 16, 8
_WIDEST = 210
_LETTER, _LIGHTER = 7.8, 6.6
"""Pixels that a letter takes, on average, at the size of the style sheet: in a line of weight, and in another."""


@dataclass(frozen=True, slots=True)
class Box:
    """`key` names it in ties; `words` are its lines, the first of weight. `now`: it is what the picture is about."""

    key: str
    words: tuple[str, ...]
    now: bool = False


@dataclass(frozen=True, slots=True)
class Tie:
    """A line from one box to another of a later column. `weak`: dashed, for what isn't so yet, or any more."""

    start: str
    end: str
    weak: bool = False


def picture(title: str, columns: Sequence[Sequence[Box]], ties: Sequence[Tie]) -> Markup:
    """Columns from left to right, each centred; nothing without boxes. A tie to a box that isn't there is left out."""
    columns = [column for column in columns if column]
    if not columns:
        return Markup("")
    wide = min(_WIDEST, (WIDTH - 2 - _BETWEEN * (len(columns) - 1)) / len(columns))
    apart = (WIDTH - 2 - wide) / max(1, len(columns) - 1)
    high = max(sum(map(_height, column)) + _ABOVE * (len(column) - 1) for column in columns) + 2
    places: dict[str, tuple[float, float]] = {}
    boxes = []
    for number, column in enumerate(columns):
        x = 1 + number * apart
        y = (high - sum(map(_height, column)) - _ABOVE * (len(column) - 1)) / 2
        for box in column:
            places[box.key] = (x, y + _height(box) / 2)
            boxes.append(_box(box, x, y, wide))
            y += _height(box) + _ABOVE
    lines = [_tie(tie, places, wide) for tie in ties if tie.start in places and tie.end in places]
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}">'
        '<svg class="chart picture" viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">{}</svg></div>'
    ).format(title, WIDTH, high, title, Markup("").join([*lines, *boxes]))


def _height(box: Box) -> float:
    return len(box.words) * _LINE + 2 * _PAD


def _box(box: Box, x: float, y: float, wide: float) -> Markup:
    fits = [int((wide - 2 * _PAD) / (_LIGHTER if place else _LETTER)) for place in range(len(box.words))]
    lines = [
        Markup('<text x="{:.1f}" y="{:.1f}"{}>{}</text>').format(
            x + _PAD,
            y + _PAD + _LINE * (place + 0.75),
            Markup(' class="first"') if place == 0 else "",
            word if len(word) <= fits[place] else f"{word[: fits[place] - 1]}…",
        )
        for place, word in enumerate(box.words)
    ]
    return Markup(
        '<g class="{}"><title>{}</title><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="8"/>{}</g>'
    ).format("box-now" if box.now else "box-in", ", ".join(box.words), x, y, wide, _height(box), Markup("").join(lines))


def _tie(tie: Tie, places: dict[str, tuple[float, float]], wide: float) -> Markup:
    (x, y), (right, down) = places[tie.start], places[tie.end]
    left, middle = x + wide, (x + wide + right) / 2
    return Markup('<path class="{}" d="M{:.1f},{:.1f} C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}"/>').format(
        "tie-weak" if tie.weak else "tie", left, y, middle, y, middle, down, right, down
    )
