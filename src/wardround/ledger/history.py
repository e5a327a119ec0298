"""What the ledger says of one model: the run and the cohorts it comes of, and what became of it at each site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from wardround.contracts.ledger_entry import (
    Deployment,
    Entry,
    Evidence,
    Manifest,
    Model,
    Promotion,
    Suspension,
    Update,
    read_signed_entry,
)
from wardround.ledger import store
from wardround.ledger.store import Transaction

_AT_ONCE = 2000


@dataclass
class History:
    """Entries by their place. `cohorts` are the manifests that the run's updates were made of, and `updates` how many
    updates each site gave; `uses` is what became of the model: evidence, deployments, promotions, suspensions."""

    registered: tuple[int, Model] | None = None
    updates: dict[str, int] = field(default_factory=dict)
    cohorts: dict[int, Manifest] = field(default_factory=dict)
    uses: list[tuple[int, Evidence | Deployment | Promotion | Suspension]] = field(default_factory=list)


def history(tx: Transaction, model: str, weights: str | None, size: int) -> History:
    """The history of a model in the first `size` entries.

    Args:
        model: its package's digest. weights: those of its weights, where they are known.
    """
    found = History()
    digests = [one.encode() for one in (model, weights) if one]
    for place, entry in _naming(tx, size, [model.encode()]):
        if isinstance(entry, Model) and entry.digest == model:
            found.registered = (place, entry)
    if found.registered is None:
        return found
    run = found.registered[1].run
    named: set[int] = set()
    for place, entry in _naming(tx, size, [run.encode(), *digests]):
        if isinstance(entry, Update) and entry.run == run:
            found.updates[entry.origin] = found.updates.get(entry.origin, 0) + 1
            named.add(entry.manifest)
        elif isinstance(entry, Evidence | Deployment | Promotion | Suspension) and entry.model in (model, weights):
            found.uses.append((place, entry))
    at = store.entries_at(tx, sorted(named))
    found.cohorts = {place: entry for place, entry in at.items() if isinstance(entry, Manifest)}
    return found


def _naming(tx: Transaction, size: int, words: list[bytes]) -> Iterator[tuple[int, Entry]]:
    """The entries in whose bytes one of these stands; the others aren't read."""
    start = 0
    while start < size:
        part = store.entries(tx, start, min(_AT_ONCE, size - start))
        if not part:
            return
        for place, data in enumerate(part, start):
            if any(word in data for word in words):
                yield place, read_signed_entry(data).entry
        start += len(part)


def in_words(found: History) -> tuple[list[str], list[str]]:
    """Where the model comes from, and what became of it, as lines."""
    origin: list[str] = []
    if found.registered is not None:
        place, model = found.registered
        origin.append(f"run {model.run}, round {model.best_round}; ledger entry {place}")
        for site, metrics in sorted(model.metrics.items()):
            told = ", ".join(f"{name} {value:.3f}" for name, value in sorted(metrics.items()))
            origin.append(f"{site} judged it: {told}")
    for site, updates in sorted(found.updates.items()):
        origin.append(f"{site} gave {updates} update{'' if updates == 1 else 's'}")
    for place, cohort in sorted(found.cohorts.items()):
        origin.append(
            f"people in the cohort of {cohort.origin}: {cohort.people.in_words()}; commitment "
            f"{cohort.commitment[:16]}…, "
            f"ledger entry {place}"
        )
    became = []
    for place, entry in found.uses:
        what = {
            "evidence": "evidence",
            "deployment": "in use",
            "promotion": "promoted",
            "suspension": "out of use",
        }[entry.kind]
        became.append(
            f"{entry.at:%Y-%m-%d}, {entry.origin}: {what}, {entry.pathway} at {entry.stage}; ledger entry {place}"
        )
    return origin, became
