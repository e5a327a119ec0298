"""What becomes of an object by its SOP class: one table (``data/sop_classes.json``), read once.

The standard leaves to whoever de-identifies which kinds of objects a profile can make safe (PS3.15 E.1). An object of
a class that the table doesn't know, a private one for example, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from wardround.dicom.errors import Reason


class Pixels(StrEnum):
    """How far the picture of a class can be relied on to show no text and no face."""

    TRUSTED = "trusted"
    """Made by the device without text, or no picture at all; what the header says of it is still heeded."""
    SCREEN = "screen"
    """Passes only after its pixels were looked at."""
    REFUSE = "refuse"
    """No looking helps."""


class Fate(StrEnum):
    """What becomes of a class."""

    PASS = "pass"  # noqa: S105 - the word of the table, no password
    ACCEPT = "accept"
    """Refused, unless the profile accepts its kind."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class ClassDecision:
    """The decision for one SOP class.

    ``kind`` is the word by which a profile accepts it; ``needs`` the options that it must then have; ``reason`` the
    code of a refusal; ``why`` the ground in words.
    """

    uid: str
    name: str
    kind: str
    fate: Fate
    pixels: Pixels
    needs: frozenset[str]
    reason: Reason
    why: str


UNKNOWN_KIND = "unknown"


def class_decision(uid: str) -> ClassDecision:
    """The decision for the SOP class ``uid``; a refusal where nobody made one."""
    known = _decisions().get(uid)
    if known is not None:
        return known
    why = "Private, or unknown to this version"
    return ClassDecision(uid, "", UNKNOWN_KIND, Fate.REFUSE, Pixels.REFUSE, frozenset(), Reason.SOP_CLASS_UNKNOWN, why)


def class_decisions() -> Iterator[ClassDecision]:
    """All that the table says, in its order."""
    yield from _decisions().values()


@cache
def _decisions() -> Mapping[str, ClassDecision]:
    text = files("wardround.dicom").joinpath("data", "sop_classes.json").read_text(encoding="utf-8")
    groups: list[dict[str, Any]] = json.loads(text)["groups"]
    return {
        uid: ClassDecision(
            uid=uid,
            name=name,
            kind=group["kind"],
            fate=Fate(group["decision"]),
            pixels=Pixels(group.get("pixels", "refuse")),
            needs=frozenset(group.get("needs", ())),
            reason=Reason(group.get("reason", "sop-class")),
            why=group["why"],
        )
        for group in groups
        for uid, name in group["classes"].items()
    }


ACCEPTABLE: Mapping[str, frozenset[str]] = {
    decision.kind: decision.needs for decision in _decisions().values() if decision.fate is Fate.ACCEPT
}
"""Kinds that a profile may accept, and the options that each needs."""
