"""Careful steps into a resource: whatever is there in place of what FHIR says, the answer is "nothing"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = Mapping[str, object]

_EMPTY: Json = {}
_LONGEST = 2048


def text(node: Json, name: str) -> str:
    """The string `name` of `node`, or an empty one; longer than 2048, or with what UTF-8 can't hold, it is none."""
    value = node.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        return ""
    return "" if any("\ud800" <= letter <= "\udfff" for letter in value) else value.strip()


def child(node: Json, name: str) -> Json:
    """The object `name` of `node`, or an empty one."""
    value = node.get(name)
    return value if isinstance(value, dict) else _EMPTY


def children(node: Json, name: str) -> list[Json]:
    """The objects in the list `name` of `node`; others in it are left out."""
    value = node.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def number(node: Json, name: str) -> float | None:
    """The finite number `name` of `node`, or None."""
    value = node.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def codes_in(concept: Json) -> list[tuple[str, str]]:
    """System and code of each coding of a CodeableConcept, what the user chose first."""
    codings = sorted(children(concept, "coding"), key=lambda coding: coding.get("userSelected") is not True)
    return [(text(coding, "system"), text(coding, "code")) for coding in codings]


def says(concept: Json) -> str:
    """The code of a CodeableConcept of a closed list, such as a status; empty where there is none."""
    return next((code for _, code in codes_in(concept) if code), "")
