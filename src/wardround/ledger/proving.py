"""Making proof files from a stored ledger, at hub or node, with nobody's help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import or_, select

from wardround.contracts.ledger_entry import read_signed_entry
from wardround.foundation.errors import NotFound, Unreachable
from wardround.ledger import store, tables
from wardround.ledger.commitment import Membership
from wardround.ledger.members import SPEAK_OF_MEMBERS
from wardround.ledger.note import Verifier
from wardround.ledger.proof import inclusion_proof
from wardround.ledger.store import Transaction
from wardround.ledger.study_proof import Opening, ProvenLine, Step, StudyProof, speaks_of_members, usage_of
from wardround.ledger.tlog_proof import write_tlog_proof

_OF_THE_SITE = ("approval", "manifest", "withdrawal", "purge", "use", "update", "evidence")
_OF_THE_HUB = (*SPEAK_OF_MEMBERS, "aggregate", "model")
_BATCH = 1000


class NotSettledYet(Unreachable):
    """A quorum hasn't cosigned what is to be proven; a while later it may have."""

    code = "not-settled"


def settled_checkpoint(tx: Transaction, hub: Verifier) -> tuple[int, str]:
    """The size of the largest tree that a quorum settled, and its cosigned note.

    Raises:
        NotSettledYet: there is none.
    """
    size = store.settled(tx, hub, store.size(tx))
    note = store.cosigned_note(tx, hub, size) if size else None
    if note is None:
        raise NotSettledYet("no quorum has cosigned the ledger yet; try again when one has")
    return size, note


def prove_entry(tx: Transaction, hub: Verifier, index: int) -> str:
    """A ``.tlog-proof`` file for the entry at ``index`` under the newest settled checkpoint.

    Raises:
        NotFound: there is no such entry here.
        NotSettledYet: a quorum hasn't cosigned it yet.
    """
    size, note = settled_checkpoint(tx, hub)
    data = store.entries(tx, index, 1) if index < store.size(tx) else []
    if not data:
        raise NotFound(f"the ledger has no entry {index} here; the last is {store.size(tx) - 1}")
    if index >= size:
        raise NotSettledYet(f"a quorum hasn't cosigned entry {index} yet; it has the first {size}. Try again later")
    path = inclusion_proof(index, size, lambda nodes: store.read_nodes(tx, nodes))
    return write_tlog_proof(data[0], index, path, note)


def prove_study(tx: Transaction, hub: Verifier, study: str, memberships: Mapping[int, Membership]) -> StudyProof:
    """A file about one study, in the manifests at the given indices, all of one site.

    Raises:
        NotSettledYet: a quorum hasn't cosigned one of these manifests yet.
        ProofRefused: ``broken-chain``, the stored ledger doesn't hold (`wardround ledger verify`).
    """
    size, note = settled_checkpoint(tx, hub)
    late = [index for index in memberships if index >= size]
    if late:
        raise NotSettledYet(f"a quorum hasn't cosigned the manifest at {min(late)} yet; try again later")
    first = store.entries_at(tx, memberships)
    sites = {entry.origin for entry in first.values()}
    steps: dict[int, Step] = {}
    kept: dict[int, bytes] = {}
    manifests = set(memberships)
    approvals = {entry.approval for entry in first.values() if entry.kind == "manifest"}
    usages = []
    for index, data in _candidates(tx, size, sites):
        entry = read_signed_entry(data).entry
        step = Step(index, entry.origin, entry.at, entry)
        if speaks_of_members(entry, sites) or index in approvals:
            steps[index], kept[index] = step, data
        elif index in manifests:
            steps[index], kept[index] = step, data
            usages.append(usage_of(index, steps))
        else:
            taken = [usage.take(step) for usage in usages]
            if any(taken):
                kept[index] = data
    lines = [
        ProvenLine(
            index=index,
            entry=data.decode(),
            path=tuple(
                value.hex() for value in inclusion_proof(index, size, lambda nodes: store.read_nodes(tx, nodes))
            ),
        )
        for index, data in kept.items()
    ]
    openings = [
        Opening(
            manifest=index,
            salt=membership.salt.hex(),
            place=membership.index,
            size=membership.size,
            path=tuple(value.hex() for value in membership.proof),
        )
        for index, membership in sorted(memberships.items())
    ]
    return StudyProof(study=study, opened=tuple(openings), entries=tuple(lines), checkpoint=note)


def _candidates(tx: Transaction, size: int, sites: set[str]) -> Iterator[tuple[int, bytes]]:
    """The entries below ``size``, in order, that may have to do with manifests of these sites."""
    columns, last = tables.entries.c, -1
    kinds = or_(
        columns.kind.in_(_OF_THE_HUB),
        columns.kind.in_(_OF_THE_SITE) & columns.origin.in_(sites),
    )
    query = select(columns.index, columns.bytes).where(columns.index < size, kinds).order_by(columns.index)
    while rows := tx.execute(query.where(columns.index > last).limit(_BATCH)).all():
        for index, data in rows:
            yield int(index), bytes(data)
        last = rows[-1][0]
