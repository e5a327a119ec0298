"""`[report]` of `node.toml`: where results go beside the PACS, and whether the PACS has to commit itself to them."""

from __future__ import annotations

from pydantic import Field

from wardround.foundation.settings import Settings

AE_TITLE = r"^[!-\[\]-~][ -\[\]-~]{0,15}$"
"""1 to 16 characters, no backslash (PS3.5 Table 6.2-1, VR AE)."""


class CommitmentSettings(Settings):
    """Ask the PACS for storage commitment of every result, from an AE title and a port of their own, which the PACS has
    to know: it reports there.

    within_minutes: after how long a result that the PACS didn't commit itself to is sent again. tls: in TLS both ways,
    with the files under `[wire]`.
    """

    ae_title: str = Field(default="WARDREPORT", pattern=AE_TITLE)
    host: str = "127.0.0.1"
    port: int = Field(default=11114, ge=0, le=65535)
    within_minutes: float = Field(default=60, gt=0, le=10_080)
    tls: bool = False


class ReportSettings(Settings):
    """What is left out isn't done."""

    commitment: CommitmentSettings | None = None
