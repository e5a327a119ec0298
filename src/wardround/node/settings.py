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


class DicomPeer(Settings):
    """An application entity that this node may call back: where answers about storage commitment go."""

    ae_title: str = Field(pattern=AE_TITLE)
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)


class DicomSettings(Settings):
    """The Storage SCP that the PACS sends to, on one port under two titles.

    What is sent to `ae_title` takes the research path, what is sent to `clinic_ae_title` the clinical one, unless
    `routes.toml` says otherwise. A study is complete when nothing of it came for `quiet_seconds`.

    durable: an object is acknowledged only once it is flushed to the disk; off, a power failure may lose some.
    reserve_mb: free space of the disk, in MB, below which nothing more is taken.
    patience_seconds: how long the index may stay behind what was received before nothing more is taken.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=1, le=65535)
    ae_title: str = Field(default="WARDROUND", pattern=AE_TITLE)
    clinic_ae_title: str = Field(default="WARDCLINIC", pattern=AE_TITLE)
    quiet_seconds: float = Field(default=60, gt=0, le=86_400)
    durable: bool = True
    reserve_mb: int = Field(default=256, ge=0)
    patience_seconds: float = Field(default=10, gt=0, le=3600)
    peers: tuple[DicomPeer, ...] = ()


class PacsSettings(Settings):
    """Where results on the clinical path are sent by C-STORE.

    ask_count: ask it by C-FIND how many instances a study has, so that a study is complete once they are here.
    """

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    ae_title: str = Field(pattern=AE_TITLE)
    ask_count: bool = False


class ClinicSettings(Settings):
    """`keep_days`: how long a study on the clinical path is kept after its last image came, results included."""

    keep_days: float = Field(default=14, gt=0, le=3650)


class DeidentificationSettings(Settings):
    """The processes that de-identify what arrives for research.

    workers: how many; 0 means half of the processor cores, at least one. seconds_per_object: after how long an object
    is given up, and refused. home_issuer: the issuer of the hospital's own patient ids, which objects that name no
    issuer mean.
    """

    workers: int = Field(default=0, ge=0, le=256)
    seconds_per_object: float = Field(default=120, gt=0, le=86_400)
    home_issuer: str = Field(default="", max_length=64)


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
    deidentification: DeidentificationSettings = DeidentificationSettings()
    learning: LearningSettings = LearningSettings()
