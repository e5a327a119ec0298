"""What an entry may say about earlier ones: each index that it names is there, of the right kind, and fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wardround.contracts.ledger_entry import (
    Aggregate,
    Approval,
    Entry,
    Evidence,
    Founding,
    Manifest,
    Promotion,
    Purge,
    Update,
    Use,
    Withdrawal,
)
from wardround.ledger.members import EntryRefused

Lookup = Callable[[int], Entry | None]
"""The entry at an index before the one being checked, or None where there is none."""

_Kind = TypeVar("_Kind", Approval, Manifest, Use, Update, Evidence)


def named(entry: Entry) -> tuple[int, ...]:
    """The indices of the entries that the entry names."""
    match entry:
        case Manifest() | Withdrawal():
            return (entry.approval,)
        case Use():
            return (entry.manifest,)
        case Update():
            return (entry.manifest,) if entry.use is None else (entry.manifest, entry.use)
        case Evidence():
            return () if entry.use is None else (entry.use,)
        case Aggregate():
            return entry.updates
        case Promotion():
            return entry.evidence
        case Purge():
            return entry.manifests
        case _:
            return ()


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


def check_references(entry: Entry, index: int, lookup: Lookup) -> None:
    """Check what the entry at ``index`` says about earlier ones.

    A manifest and a withdrawal name an approval of their own site and project; a use, an update and a purge name
    manifests of their own site; an update names a use of its own run, round and manifest; evidence names a use for
    judging its own model; an aggregate names updates of its run and round, one from each site; a promotion names
    evidence of its model or of that one's weights. A founding comes first, and nobody has seen a tree that holds what
    is to come.

    Raises:
        EntryRefused: ``reference-missing``, ``reference-kind`` or ``reference-mismatch``.
    """
    if entry.seen is not None and entry.seen.size > index:
        raise EntryRefused(
            f"its origin says that it saw {entry.seen.size} entries, of which {index} are there before it",
            code="other-history",
        )
    if isinstance(entry, Manifest | Withdrawal):
        approval = _named(lookup, entry.approval, Approval)
        if approval.origin != entry.origin:
            raise _mismatch(entry.approval, "site")
        if approval.project != entry.project:
            raise _mismatch(entry.approval, "project")
    elif isinstance(entry, Use | Update | Purge):
        for manifest in entry.manifests if isinstance(entry, Purge) else (entry.manifest,):
            if _named(lookup, manifest, Manifest).origin != entry.origin:
                raise _mismatch(manifest, "site")
        if isinstance(entry, Update) and entry.use is not None:
            use = _named(lookup, entry.use, Use)
            # Both name a manifest, which is of their own site alone.
            if (use.run, use.round, use.manifest) != (entry.run, entry.round, entry.manifest):
                raise _mismatch(entry.use, "run, round or manifest")
    elif isinstance(entry, Evidence) and entry.use is not None:
        use = _named(lookup, entry.use, Use)
        if (use.origin, use.model) != (entry.origin, entry.model):
            raise _mismatch(entry.use, "site or model")
    elif isinstance(entry, Promotion):
        for evidence in entry.evidence:
            if _named(lookup, evidence, Evidence).model not in (entry.model, entry.weights):
                raise _mismatch(evidence, "model")
    elif isinstance(entry, Aggregate):
        sites: set[str] = set()
        for place in entry.updates:
            update = _named(lookup, place, Update)
            if (update.run, update.round) != (entry.run, entry.round):
                raise _mismatch(place, "run or round")
            if update.origin in sites:
                raise EntryRefused(f"it names two updates of {update.origin} in one round", code="reference-mismatch")
            sites.add(update.origin)
    elif isinstance(entry, Founding) and index:
        raise EntryRefused("a ledger is founded by its first entry only", code="reference-mismatch")
