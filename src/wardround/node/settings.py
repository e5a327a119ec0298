"""`node.toml`: what a hospital's informatics engineer sets. Joining writes the first version."""

from __future__ import annotations

from pydantic import Field

from wardround.contracts.base import SiteName
from wardround.contracts.limits import LARGEST_ANSWER
from wardround.foundation.settings import Settings


class HubAddress(Settings):
    """Where this node reaches its hub."""

    host: str = Field(min_length=1, max_length=253)
    api_port: int = Field(ge=1, le=65535)


class DicomSettings(Settings):
    """The Storage SCP that the PACS sends to. AE titles are up to 16 characters (PS3.5 Table 6.2-1, VR AE)."""

    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=1, le=65535)
    ae_title: str = Field(default="WARDROUND", pattern=r"^[!-\[\]-~][ -\[\]-~]{0,15}$")


class NodeSettings(Settings):
    """`database` is an SQLAlchemy URL; empty means `node.db` in the home."""

    site: SiteName
    federation: SiteName
    database: str = ""
    largest_attachment: int = Field(default=LARGEST_ANSWER, ge=0)
    hub: HubAddress
    dicom: DicomSettings = DicomSettings()
