"""The addresses under which the annotation server is reached, before any call is read.

`/monailabel/…` is MONAI Label's API. `/monailabel/at/TOKEN/…` is the same with a session's token in the address, for
clients that send no header. `/proxy/dicom/{wado,qido,stow}/…` below it, and `/dicom-web/…`, are DICOMweb.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]

BASE = "/monailabel"
_AT = re.compile(r"/at/([A-Za-z0-9_.~-]{16,200})(/.*)?")
_PROXY = re.compile(r"/proxy/dicom(?:/(?:wado|qido|stow))?(/.*)")


class Doorway:
    """An ASGI application in front of two.

    Args:
        annotation: MONAI Label's API, without the prefix.
        dicomweb: the DICOMweb service, below `/dicom-web`.
    """

    def __init__(self, annotation: App, dicomweb: App) -> None:
        self._annotation = annotation
        self._dicomweb = dicomweb

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            return
        path = str(scope["path"])
        if path == BASE or path.startswith(f"{BASE}/"):
            path = path.removeprefix(BASE) or "/"
            within = _AT.fullmatch(path)
            if within is not None:
                scope = _signed(scope, within[1])
                path = within[2] or "/"
        proxied = _PROXY.fullmatch(path)
        inner = proxied[1] if proxied else path.removeprefix("/dicom-web") if path.startswith("/dicom-web/") else None
        if inner is None:
            await self._annotation(_moved(scope, _ended(path)), receive, send)
        elif scope["method"] == "POST":
            await self._annotation(_moved(scope, f"/dicom{inner}"), receive, send)
        else:
            await self._dicomweb(_moved(scope, f"/dicom-web{inner}"), receive, send)


def _ended(path: str) -> str:
    """Some clients leave the last slash away; a redirect would lose their body."""
    return f"{path}/" if path in ("/info", "/auth", "/train", "/logs", "/session", "/datastore") else path


def _signed(scope: Scope, token: str) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
    return {**scope, "headers": [*headers, (b"authorization", f"Bearer {token}".encode())]}


def _moved(scope: Scope, path: str) -> Scope:
    return {**scope, "path": path, "raw_path": path.encode("utf-8", "replace"), "root_path": ""}
