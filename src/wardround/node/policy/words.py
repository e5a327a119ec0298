"""A policy as lines for people: each rule by its key, and what it says; and how two policies differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wardround.node.policy.rules import Policy


def rules_of(policy: Policy) -> dict[str, str]:
    """Every rule by its key in policy.toml, with its value in words, in the order of the file."""
    return {key: _in_words(value) for key, value in _leaves(policy.document())}


def differences(before: Policy, after: Policy) -> Iterator[tuple[str, str, str]]:
    """The rules that differ: key, and the values of both in words."""
    old, new = rules_of(before), rules_of(after)
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            yield key, old.get(key, NO_RULE), new.get(key, NO_RULE)


NO_RULE = "no rule"


def _leaves(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _in_words(value: object) -> str:
    match value:
        case None:
            return NO_RULE
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value) or "any"
