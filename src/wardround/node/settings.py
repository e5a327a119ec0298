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


AE_TITLE = r"^[!-\[\]-~][ -\[\]-~]{0,15}$"
"""1 to 16 characters, no backslash (PS3.5 Table 6.2-1, VR AE)."""


class DicomSettings(Settings):
    """The Storage SCP that the PACS sends to, on one port under two titles.

    What is sent to `ae_title` takes the research path, what is sent to `clinic_ae_title` the clinical one. A study
    is complete when nothing of it came for `quiet_seconds`.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=1, le=65535)
    ae_title: str = Field(default="WARDROUND", pattern=AE_TITLE)
    clinic_ae_title: str = Field(default="WARDCLINIC", pattern=AE_TITLE)
    quiet_seconds: float = Field(default=60, gt=0, le=86_400)


class PacsSettings(Settings):
    """Where results on the clinical path are sent by C-STORE."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    ae_title: str = Field(pattern=AE_TITLE)


class ClinicSettings(Settings):
    """`keep_days`: how long a study on the clinical path is kept after its last image came, results included."""

    keep_days: float = Field(default=14, gt=0, le=3650)


class LearningSettings(Settings):
    """`threads`: how many processor cores training and reading take each."""

    threads: int = Field(default=1, ge=1, le=256)


class NodeSettings(Settings):
    """`database` is an SQLAlchemy URL; empty means `node.db` in the home."""

    site: SiteName
    federation: SiteName
    database: str = ""
    largest_attachment: int = Field(default=LARGEST_ANSWER, ge=0)
    hub: HubAddress
    dicom: DicomSettings = DicomSettings()
    pacs: PacsSettings | None = None
    clinic: ClinicSettings = ClinicSettings()
    learning: LearningSettings = LearningSettings()
