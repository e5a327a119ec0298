"""Charts as SVG made on the server: they print, need no script, and a table beside them holds the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 30
KINDS = 8
"""How many lines are told apart by colour and dash; more begin again."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. `parts`: values that stand on each other, in the order of the chart's names."""

    label: str
    parts: tuple[float, ...]


def bars(title: str, names: Sequence[str], columns: Sequence[Bar], *, every: int = 1, unit: str = "") -> Markup:
    """Bars of stacked parts. `every`: which of the labels are written below."""
    top = _nice(max((sum(column.parts) for column in columns), default=0))
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(columns))
    drawn = []
    for place, column in enumerate(columns):
        x, under = _LEFT + place * step, 0.0
        for kind, (name, value) in enumerate(zip(names, column.parts, strict=True)):
            if value:
                y, height = _y(under + value, 0, top), _y(under, 0, top) - _y(under + value, 0, top)
                drawn.append(
                    Markup(
                        '<rect class="kind{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
                        "<title>{}: {:,} {}{}</title></rect>"
                    ).format(kind, x + step * 0.1, y, step * 0.8, height, column.label, value, name, unit)
                )
            under += value
        if place % every == 0:
            drawn.append(_word(x + step / 2, HEIGHT - 10, column.label, "middle"))
    return _chart(title, [*_scale(0, top), *drawn])


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    low: float | None = None,
    high: float | None = None,
) -> Markup:
    """A line for each name, through its points (x, y); x are whole numbers such as rounds."""
    points = [point for line in series.values() for point in line]
    if not points:
        return Markup("")
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    bottom = min(y for _, y in points) if low is None else low
    top = max(y for _, y in points) if high is None else high
    if low is None or high is None:
        room = (top - bottom) * 0.08 or abs(top) * 0.1 or 1.0
        bottom, top = (bottom - room if low is None else low), (top + room if high is None else high)
    drawn = []
    for kind, (name, line) in enumerate(series.items()):
        path = " ".join(f"{_x(x, first, last):.1f},{_y(y, bottom, top):.1f}" for x, y in line)
        drawn.append(
            Markup('<polyline class="line{}" points="{}"><title>{}</title></polyline>').format(kind % KINDS, path, name)
        )
        for x, y in line:
            drawn.append(
                Markup(
                    '<circle class="line{}" cx="{:.1f}" cy="{:.1f}" r="2.5"><title>{}, {:g}: {:.4g}</title></circle>'
                ).format(kind % KINDS, _x(x, first, last), _y(y, bottom, top), name, x, y)
            )
    stride = max(1, ceil((last - first) / 10))
    below = [
        _word(_x(x, first, last), HEIGHT - 10, f"{x:g}", "middle") for x in range(ceil(first), floor(last) + 1, stride)
    ]
    return _chart(title, [*_scale(bottom, top), *below, *drawn])


def legend(names: Sequence[str], what: str = "line") -> Markup:
    """What each colour stands for, in words."""
    marks = [
        Markup('<li><svg class="swatch" viewBox="0 0 24 8" aria-hidden="true">{}</svg> {}</li>').format(
            Markup('<line class="line{}" x1="0" y1="4" x2="24" y2="4"/>').format(kind % KINDS)
            if what == "line"
            else Markup('<rect class="kind{}" width="24" height="8"/>').format(kind),
            name,
        )
        for kind, name in enumerate(names)
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(marks))


def _chart(title: str, inner: Sequence[Markup]) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(
        WIDTH, HEIGHT, title, title, Markup("").join(inner)
    )


def _scale(bottom: float, top: float) -> list[Markup]:
    drawn = []
    for part in range(5):
        value = bottom + (top - bottom) * part / 4
        y = _y(value, bottom, top)
        drawn.append(
            Markup('<line class="rule" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(_LEFT, y, WIDTH - _RIGHT, y)
        )
        drawn.append(_word(_LEFT - 6, y + 4, f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}", "end"))
    return drawn


def _word(x: float, y: float, word: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, word)


def _x(value: float, first: float, last: float) -> float:
    span = (last - first) or 1
    return _LEFT + 8 + (value - first) / span * (WIDTH - _LEFT - _RIGHT - 16)


def _y(value: float, bottom: float, top: float) -> float:
    span = (top - bottom) or 1
    return HEIGHT - _BOTTOM - (value - bottom) / span * (HEIGHT - _TOP - _BOTTOM)


def _nice(value: float) -> float:
    """The next of 4, 8, 20, 40, 80, 200, … so that a quarter of it is a number that people read easily."""
    if value <= 4:
        return 4
    ten = 10.0 ** floor(log10(value))
    return next(ten * part for part in (1, 2, 4, 8, 10) if ten * part >= value)
