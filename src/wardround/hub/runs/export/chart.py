"""Lines over rounds as an SVG 1.1 picture, without a library.

Every line differs from the others by dashes and by marks as well as by colour, and each colour stands out from white by
3:1 at least (WCAG 2.2, 1.4.11), so that nothing hangs on telling colours apart. A reader of the page that sees nothing
has the picture's title and, for each line, its last value.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072B2", "#D55E00", "#117733", "#AA4499", "#332288", "#882255", "#8C510A", "#5F6368")
"""From palettes for eyes that tell some colours badly (Okabe and Ito 2008; Tol 2021), the darker ones of them."""

DASHES = ("", "9 4", "2 3", "9 3 2 3", "14 4", "5 2 5 6")
MARKS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "M-3.5,-3.5h7v7h-7z",
    "M0,-4.5L4.5,3.5H-4.5z",
    "M0,-5L5,0L0,5L-5,0z",
    "M0,4.5L4.5,-3.5H-4.5z",
)
MARKED = 40
"""Where a line has more points, the last one alone is marked."""

LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT, LEGEND = 76, 250, 56, 62, 960, 540, 24
_FLAT = 1e-9
"""Of a value's size: what differs by less is told apart by no twelve digits, and is drawn as flat."""


@dataclass(frozen=True)
class Line:
    """A name and points of (round, value), in the order of their rounds. `heavy` stands out: it is of all together."""

    name: str
    points: Sequence[tuple[int, float]]
    heavy: bool = False


@dataclass(frozen=True)
class Chart:
    """`wanted` is a value that is drawn as a level of its own, with its name. `largest` is the most that a value
    can be."""

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    wanted: tuple[str, float] | None = None
    largest: float | None = None

    def svg(self) -> str:
        """The picture. At least one line has to have a point."""
        return "\n".join(_Drawing(self).drawn()) + "\n"


class _Drawing:
    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        rounds = [number for line in chart.lines for number, _ in line.points]
        values = [value for line in chart.lines for _, value in line.points]
        if chart.wanted is not None:
            values.append(chart.wanted[1])
        self._ups = ticks(min(values), max(values), 6)
        if chart.largest is not None:
            self._ups = [tick for tick in self._ups if tick <= chart.largest]
        low, high = min(rounds), max(rounds)
        self._acrosses = [tick for tick in ticks(low, high, 10) if tick == int(tick) and low <= tick <= high]
        self._low, self._span = low, max(high - low, 1)
        self._height = max(HEIGHT, TOP + BOTTOM + LEGEND * (len(chart.lines) + 1))

    def _x(self, number: float) -> float:
        return LEFT + (number - self._low) / self._span * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        share = (value - self._ups[0]) / (self._ups[-1] - self._ups[0])
        return self._height - BOTTOM - share * (self._height - TOP - BOTTOM)

    def drawn(self) -> Iterator[str]:
        chart = self._chart
        last = [f"{line.name} {line.points[-1][1]:.3f}" for line in chart.lines if line.points]
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" width="{WIDTH}" '
            f'height="{self._height}" role="img" aria-labelledby="title last" font-family="sans-serif" font-size="14" '
            'fill="#1a1a1a">'
        )
        yield f'<title id="title">{escape(chart.title)}</title>'
        yield f'<desc id="last">{escape(chart.up)} at the last point: {escape(", ".join(last))}</desc>'
        yield f'<rect width="{WIDTH}" height="{self._height}" fill="#ffffff"/>'
        yield f'<text x="{LEFT}" y="30" font-size="18" font-weight="bold">{escape(chart.title)}</text>'
        yield from self._axes()
        for place, line in enumerate(chart.lines):
            yield from self._line(place, line)
        yield "</svg>"

    def _axes(self) -> Iterator[str]:
        right, bottom = WIDTH - RIGHT, self._height - BOTTOM
        for tick in self._ups:
            y = self._y(tick)
            yield f'<path d="M{LEFT},{y:.1f}H{right}" stroke="#d9d9d9"/>'
            yield f'<text x="{LEFT - 10}" y="{y + 5:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in self._acrosses:
            x = self._x(tick)
            yield f'<path d="M{x:.1f},{bottom}v6" stroke="#1a1a1a"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 22}" text-anchor="middle">{tick:g}</text>'
        yield f'<path d="M{LEFT},{TOP}V{bottom}H{right}" fill="none" stroke="#1a1a1a"/>'
        middle = (LEFT + right) / 2
        yield f'<text x="{middle:.1f}" y="{bottom + 48}" text-anchor="middle">{escape(self._chart.across)}</text>'
        y = (TOP + bottom) / 2
        turned = f'transform="rotate(-90 20 {y:.1f})"'
        yield f'<text x="20" y="{y:.1f}" text-anchor="middle" {turned}>{escape(self._chart.up)}</text>'
        if self._chart.wanted is not None:
            name, value = self._chart.wanted
            y = self._y(value)
            yield f'<path d="M{LEFT},{y:.1f}H{right}" stroke="#1a1a1a" stroke-dasharray="1 4"/>'
            halo = 'stroke="#ffffff" stroke-width="4" paint-order="stroke"'
            yield f'<text x="{LEFT + 8}" y="{y - 6:.1f}" {halo}>{escape(name)} {value:g}</text>'

    def _line(self, place: int, line: Line) -> Iterator[str]:
        colour = "#1a1a1a" if line.heavy else COLOURS[place % len(COLOURS)]
        dash = "" if line.heavy else DASHES[place % len(DASHES)]
        style = f'stroke="{colour}" stroke-width="{3.5 if line.heavy else 2}" stroke-dasharray="{dash or "none"}"'
        mark = MARKS[place % len(MARKS)]
        points = [(self._x(number), self._y(value)) for number, value in line.points]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        if len(points) > 1:
            yield f'<path d="M{path}" fill="none" {style}/>'
        for x, y in points if len(points) <= MARKED else points[-1:]:
            yield f'<path d="{mark}" transform="translate({x:.1f},{y:.1f})" fill="{colour}"/>'
        x, y = WIDTH - RIGHT + 24, TOP + 8 + LEGEND * place
        last = f" {line.points[-1][1]:.3f}" if line.points else ""
        yield f'<path d="M{x},{y}h40" fill="none" {style}/>'
        yield f'<path d="{mark}" transform="translate({x + 20},{y})" fill="{colour}"/>'
        weight = ' font-weight="bold"' if line.heavy else ""
        yield f'<text x="{x + 50}" y="{y + 5}"{weight}>{escape(line.name)}{last}</text>'


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers, at least two and about `most`, of which the first is at `low` or below and the last at `high` or
    above."""
    size = max(abs(low), abs(high))
    span = high - low
    if span <= max(_FLAT * size, sys.float_info.min):
        span = size if size > sys.float_info.min else 1.0
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, max(last, first + 1) + 1)]
