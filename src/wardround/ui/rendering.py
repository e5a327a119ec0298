"""Templates made into pages: everything is escaped, a value that isn't there is an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent / "templates"


class Templates:
    """The shared templates, and a program's own in `folders`."""

    def __init__(self, folders: Iterable[Path], **everywhere: Any) -> None:
        self._jinja = Environment(
            loader=FileSystemLoader([*folders, HERE]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.filters |= {
            "moment": moment,
            "day": day,
            "size": size,
            "many": many,
            "short": short,
            "coded": coded,
        }
        self._jinja.globals |= everywhere

    def page(self, template: str, values: Mapping[str, Any]) -> str:
        return self._jinja.get_template(template).render(values)


def moment(value: datetime | None) -> Markup:
    """A moment in UTC, to the minute."""
    if value is None:
        return Markup('<span class="none">not yet</span>')
    return Markup('<time datetime="{}">{}</time>').format(
        value.isoformat(timespec="seconds"), f"{value:%Y-%m-%d %H:%M} UTC"
    )


def day(value: datetime) -> str:
    return f"{value:%Y-%m-%d}"


def size(count: float) -> str:
    """Bytes in the unit that fits, of 1,000 each."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def many(count: float) -> str:
    return f"{count:,}"


def short(digest: str) -> Markup:
    """The beginning of a digest, whole for whoever points at it."""
    return Markup('<code title="{}">{}</code>').format(digest, digest[:12])


def coded(text: str) -> Markup:
    """What stands between backticks, as commands do in messages, set as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )
