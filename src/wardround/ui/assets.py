"""The files that pages load from us, from a closed list: nothing comes from elsewhere, no path is taken from outside.

Scripts that others wrote are installed by npm at set-up (`package.json` beside this file); where they aren't, pages do
without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

_HERE = Path(__file__).parent
_INSTALLED = _HERE / "node_modules"

FILES: dict[str, tuple[Path, str]] = {
    "wardround.css": (_HERE / "static" / "wardround.css", "text/css; charset=utf-8"),
    "wardround.js": (_HERE / "static" / "wardround.js", "text/javascript; charset=utf-8"),
    "drawing.js": (_HERE / "static" / "drawing.js", "text/javascript; charset=utf-8"),
    "mask.js": (_HERE / "static" / "mask.js", "text/javascript; charset=utf-8"),
    "viewer.js": (_HERE / "static" / "viewer.js", "text/javascript; charset=utf-8"),
    "viewer-panel.js": (_HERE / "static" / "viewer-panel.js", "text/javascript; charset=utf-8"),
    "redact.js": (_HERE / "static" / "redact.js", "text/javascript; charset=utf-8"),
    "proof.js": (_HERE / "static" / "proof.js", "text/javascript; charset=utf-8"),
    "mark.svg": (_HERE / "static" / "mark.svg", "image/svg+xml"),
    "htmx.js": (_INSTALLED / "htmx.org" / "dist" / "htmx.min.js", "text/javascript; charset=utf-8"),
    "niivue.js": (
        _INSTALLED / "@niivue" / "niivue" / "dist" / "niivue.umd.js",
        "text/javascript; charset=utf-8",
    ),
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. `version` is the beginning of its SHA-256."""

    content: bytes
    kind: str
    version: str


@cache
def asset(name: str) -> Asset | None:
    """A file of the list; None for any other name, and where it isn't installed."""
    if name not in FILES:
        return None
    path, kind = FILES[name]
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return Asset(content, kind, sha256(content).hexdigest()[:12])


def address(name: str) -> str:
    """Where a page finds a file, with its version so that a browser may keep it; empty where it isn't installed."""
    found = asset(name)
    return "" if found is None else f"/assets/{name}?v={found.version}"
