"""Reading a data set in the DICOM JSON Model (PS3.18 Annex F) that somebody else wrote: what hasn't the form of an
attribute has no value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def values(data: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an attribute, by its tag in hexadecimal."""
    attribute = data.get(tag)
    found = attribute.get("Value") if isinstance(attribute, dict) else None
    return found if isinstance(found, list) else []


def first(data: Mapping[str, Any], tag: str) -> Any:
    """The first value of an attribute, None if it has none."""
    return next(iter(values(data, tag)), None)


def text(data: Mapping[str, Any], tag: str) -> str:
    """The first value of an attribute without spaces around it, empty if that is no text."""
    value = first(data, tag)
    return value.strip() if isinstance(value, str) else ""


def sequence(data: Mapping[str, Any], tag: str) -> list[dict[str, Any]]:
    """The items of a sequence."""
    return [item for item in values(data, tag) if isinstance(item, dict)]
