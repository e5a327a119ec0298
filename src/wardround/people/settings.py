"""`[people]` in `hub.toml` and `node.toml`: how people sign in."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wardround.foundation.settings import Settings


class PeopleSettings(Settings):
    """Sign-in, sessions and lock-out.

    second_factor: whether everybody needs a code beside the password, or whoever has enrolled for one.
    A session ends after `idle_minutes` without use, and `session_hours` after sign-in whatever is done.
    After `failures` wrong sign-ins in a row an account waits `first_delay_seconds`, twice that after the next one, and
    so on to `longest_delay_minutes`; after `most_failures` until somebody unlocks it. Where the wrong ones come from
    waits likewise after `source_failures`. `enrol_hours`: how long the code lasts with which a new person enrols.
    """

    second_factor: Literal["required", "optional"] = "required"
    idle_minutes: float = Field(default=30, gt=0, le=24 * 60)
    session_hours: float = Field(default=12, gt=0, le=24 * 7)
    failures: int = Field(default=5, ge=1, le=20)
    most_failures: int = Field(default=100, ge=2, le=100)
    source_failures: int = Field(default=30, ge=1, le=10_000)
    first_delay_seconds: float = Field(default=30, gt=0, le=3600)
    longest_delay_minutes: float = Field(default=60, gt=0, le=24 * 60)
    enrol_hours: float = Field(default=72, gt=0, le=24 * 14)

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.most_failures <= self.failures:
            raise ValueError("most_failures has to be more than failures")
        return self
