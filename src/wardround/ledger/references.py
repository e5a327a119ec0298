"""What an entry may say about earlier ones: each index that it names is there, of the right kind, and fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wardround.contracts.ledger_entry import Aggregate, Approval, Entry, Manifest, Update, Withdrawal
from wardround.ledger.members import EntryRefused

Lookup = Callable[[int], Entry | None]
"""The entry at an index before the one being checked, or None where there is none."""

_Kind = TypeVar("_Kind", Approval, Manifest, Update)


def _named(lookup: Lookup, index: int, kind: type[_Kind]) -> _Kind:
    entry = lookup(index)
    if entry is None:
        raise EntryRefused(f"entry {index}, which it names, isn't there before it", code="reference-missing")
    if not isinstance(entry, kind):
        raise EntryRefused(
            f"entry {index} is a {entry.kind}, not the {kind.__name__.lower()} that it should be",
            code="reference-kind",
        )
    return entry


def _mismatch(index: int, what: str) -> EntryRefused:
    return EntryRefused(f"entry {index}, which it names, is of another {what}", code="reference-mismatch")


def check_references(entry: Entry, lookup: Lookup) -> None:
    """Check what the entry says about earlier ones.

    A manifest and a withdrawal name an approval of their own site and project, an update names a manifest of its
    own site, an aggregate names updates of its run and round, one from each site.

    Raises:
        EntryRefused: ``reference-missing``, ``reference-kind`` or ``reference-mismatch``.
    """
    if isinstance(entry, Manifest | Withdrawal):
        approval = _named(lookup, entry.approval, Approval)
        if approval.origin != entry.origin:
            raise _mismatch(entry.approval, "site")
        if approval.project != entry.project:
            raise _mismatch(entry.approval, "project")
    elif isinstance(entry, Update):
        if _named(lookup, entry.manifest, Manifest).origin != entry.origin:
            raise _mismatch(entry.manifest, "site")
    elif isinstance(entry, Aggregate):
        sites: set[str] = set()
        for index in entry.updates:
            update = _named(lookup, index, Update)
            if (update.run, update.round) != (entry.run, entry.round):
                raise _mismatch(index, "run or round")
            if update.origin in sites:
                raise EntryRefused(f"it names two updates of {update.origin} in one round", code="reference-mismatch")
            sites.add(update.origin)
