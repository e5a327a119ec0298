"""`[pages]` in `hub.toml` and `node.toml`: where the pages are served."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from wardround.foundation.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class PagesSettings(Settings):
    """The pages for people, each behind a sign-in with password and code (`people add`, `people enrol`).

    `certificate` and `key` (PEM, in the home if not absolute) make it HTTPS, without which it listens on loopback
    alone.
    """

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("HTTPS needs both certificate and key")
        if self.certificate is None and not (self.host in LOOPBACK or self.host.startswith("127.")):
            raise ValueError("without certificate and key it can listen on 127.0.0.1 alone")
        return self

    def address(self, port: int) -> str:
        """Where a browser finds it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.certificate is None else 'https'}://{host}:{port}/"
