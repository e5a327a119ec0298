"""What the front door asks of the index of what was received, and tells it; `register` keeps it in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from wardround.node.receive.arrival import Entry, Keys
from wardround.node.receive.route import Route, Rule, StudyPath

CONFLICT = "conflicting-content"
NOT_ROUTED = "not-routed"


class IndexUnavailable(Exception):
    """The index doesn't answer, or takes nothing in; the text is the type of what went wrong."""


class Index(Protocol):
    """The index, for any thread. Each call may raise `IndexUnavailable`."""

    def contents(self, study_key: str) -> list[tuple[str, str]]:
        """The instance keys and digests that the index has of a study."""

    def holds_other_content(self, keys: Keys, paths: Sequence[StudyPath]) -> bool:
        """Whether the index has another content of this instance in use, or this very one refused for that."""

    def write(self, entries: Sequence[Entry], turned_away: Mapping[str, int], at: datetime) -> None:
        """Register `entries` in one transaction, in their order; all or nothing. Those that were written before are
        known and make no difference.

        Raises:
            OSError: nothing was written, as with IndexUnavailable; call it again.
        """


def refusal_of(rule: Rule) -> str | None:
    """Why an arrival is refused that this rule takes; None if it isn't."""
    return NOT_ROUTED if rule.route is Route.REFUSED else None
