"""`hub.toml`: what a federation's operator sets."""

from __future__ import annotations

from pydantic import Field

from wardround.contracts.base import SiteName
from wardround.contracts.limits import LARGEST_ANSWER
from wardround.foundation.settings import Settings
from wardround.people.settings import PeopleSettings
from wardround.ui.settings import PagesSettings


class HubSettings(Settings):
    """The federation's name and where its hub listens.

    `listen` is the address that the three ports are bound to; `host` is the name by which nodes reach them and is
    in the hub's certificate. `database` is an SQLAlchemy URL; empty means `hub.db` in the home. `faults` is how many
    hospitals' witnesses may be dishonest without harm: of n hospitals more than (n + faults) / 2 cosign the ledger
    before anything rests on it. It is fixed when the federation is founded.
    """

    federation: SiteName
    host: str = Field(min_length=1, max_length=253)
    listen: str = "0.0.0.0"  # noqa: S104 - nodes come from other machines; every call is authenticated
    api_port: int = Field(default=8443, ge=1, le=65535)
    enrol_port: int = Field(default=8444, ge=1, le=65535)
    engine_port: int = Field(default=8445, ge=1, le=65535)
    database: str = ""
    certificate_hours: float = Field(default=24, gt=0, le=24 * 90)
    invite_hours: float = Field(default=24, gt=0, le=24 * 7)
    faults: int = Field(default=0, ge=0, le=1000)
    largest_attachment: int = Field(default=LARGEST_ANSWER, ge=0)
    people: PeopleSettings = PeopleSettings()
    pages: PagesSettings = PagesSettings()
