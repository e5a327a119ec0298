"""A person of a frozen cohort of whom records alone are read: there is no study, so the person stands in for one."""

from __future__ import annotations

from wardround.contracts.base import Frozen

PREFIX = "person "


class PersonRef(Frozen):
    """The person by the site's own pseudonym."""

    pseudonym: str


def frozen_as(pseudonym: str) -> str:
    """What stands for a study in the manifest's commitment; no study's UID (PS3.5 section 9) can be the same."""
    return f"{PREFIX}{pseudonym}"
