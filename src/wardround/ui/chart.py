"""Charts as SVG made on the server: they print, need no script, and a table beside them holds the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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


def bars(
    title: str, names: Sequence[str], columns: Sequence[Bar], *, every: int = 1, whole: bool = False, unit: str = ""
) -> Markup:
    """Bars of stacked parts. `every`: which of the labels are written. `whole`: only whole numbers are counted."""
    step = _step(max((sum(column.parts) for column in columns), default=0), fewest=1 if whole else 0)
    top = 4 * step
    room = (WIDTH - _LEFT - _RIGHT) / max(1, len(columns))
    drawn = []
    for place, column in enumerate(columns):
        x, under = _LEFT + place * room, 0.0
        for kind, (name, value) in enumerate(zip(names, column.parts, strict=True)):
            if value:
                y, height = _y(under + value, 0, top), _y(under, 0, top) - _y(under + value, 0, top)
                drawn.append(
                    Markup(
                        '<rect class="kind{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
                        "<title>{}: {:,} {}{}</title></rect>"
                    ).format(kind, x + room * 0.1, y, room * 0.8, height, column.label, value, name, unit)
                )
            under += value
        if place % every == 0:
            drawn.append(_word(x + room / 2, HEIGHT - 10, column.label, "middle"))
    return _chart(title, [*_scale(0, top, step), *drawn])


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> Markup:
    """A line for each name, through its points (x, y); x are whole numbers such as rounds."""
    points = [point for line in series.values() for point in line]
    if not points:
        return Markup("")
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    step = _step(highest - lowest or abs(highest) or 1.0)
    bottom, top = floor(lowest / step) * step, ceil(highest / step) * step
    if bottom == top:
        top = bottom + step
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
    return _chart(title, [*_scale(bottom, top, step), *below, *drawn])


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


def mondays(at: datetime, weeks: int) -> list[datetime]:
    """When each of the last weeks began, the present one's last."""
    monday = (at - timedelta(days=at.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    return [monday - timedelta(weeks=each) for each in range(weeks - 1, -1, -1)]


def _chart(title: str, inner: Sequence[Markup]) -> Markup:
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}">'
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></div>'
    ).format(title, WIDTH, HEIGHT, title, Markup("").join(inner))


def _scale(bottom: float, top: float, step: float) -> list[Markup]:
    drawn = []
    for part in range(round((top - bottom) / step) + 1):
        value = bottom + step * part
        y = _y(value, bottom, top)
        drawn.append(
            Markup('<line class="rule" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(_LEFT, y, WIDTH - _RIGHT, y)
        )
        drawn.append(_word(_LEFT - 6, y + 4, f"{value:,.10g}", "end"))
    return drawn


def _word(x: float, y: float, word: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, word)


def _x(value: float, first: float, last: float) -> float:
    span = (last - first) or 1
    return _LEFT + 8 + (value - first) / span * (WIDTH - _LEFT - _RIGHT - 16)


def _y(value: float, bottom: float, top: float) -> float:
    span = (top - bottom) or 1
    return HEIGHT - _BOTTOM - (value - bottom) / span * (HEIGHT - _TOP - _BOTTOM)


def _step(span: float, *, fewest: float = 0) -> float:
    """A quarter of the span or a little more: 1, 2, 2.5 or 5 times a power of ten, which people read easily."""
    quarter = max(span / 4, fewest) or 1.0
    ten = 10.0 ** floor(log10(quarter))
    return next(ten * part for part in (1, 2, 2.5, 5, 10) if ten * part >= quarter * 0.999999)
