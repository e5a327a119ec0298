"""What was done with one study, as one file that anyone can check offline with the quorum's public keys alone.

The file opens the study's commitment in a manifest and brings the ledger's entries about that manifest, each with its
audit path in one checkpoint that a quorum cosigned: the approval that it rests on, withdrawals and purges, uses and
updates, the aggregates made of those, and the models registered from them. The announcements of the sites come with
it, so that each entry's own signature can be checked too.

It shows what the ledger says of the study, and not that nothing else was done with it: see `docs/how-to`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from wardround.contracts.base import Digest, Frozen
from wardround.contracts.ledger_entry import (
    HUB,
    Aggregate,
    Approval,
    Departure,
    Entry,
    EntryUnreadable,
    Evidence,
    Founding,
    Index,
    Manifest,
    Member,
    Model,
    Purge,
    Update,
    Use,
    Withdrawal,
    read_signed_entry,
)
from wardround.ledger.checkpoint import Checkpoint, open_checkpoint
from wardround.ledger.commitment import Membership, verify_membership
from wardround.ledger.cosignature import cosigners
from wardround.ledger.keys import LedgerKeys
from wardround.ledger.members import EntryRefused, Members
from wardround.ledger.note import LARGEST_NOTE
from wardround.ledger.proof import ProofRefused, verify_inclusion
from wardround.ledger.tree import MAX_SIZE, leaf_hash

LARGEST_FILE = 64 * 1024 * 1024
_Path = Annotated[tuple[Digest, ...], Field(max_length=64)]


class ProvenLine(Frozen):
    """An entry's canonical text, its place and its audit path in the file's checkpoint."""

    index: Index
    entry: str
    path: _Path


class Opening(Frozen):
    """The study's commitment opened: it is number ``place`` of the ``size`` that the manifest commits to."""

    manifest: Index
    salt: Digest
    place: int = Field(ge=0, le=MAX_SIZE)
    size: int = Field(ge=1, le=MAX_SIZE)
    path: _Path


class StudyProof(Frozen):
    """The file. ``study`` is the study's pseudonymous UID, as the hospital's enclave knows it."""

    format: Literal["wardround/study-proof/v1"] = "wardround/study-proof/v1"
    study: str = Field(min_length=1, max_length=64)
    opened: Annotated[tuple[Opening, ...], Field(min_length=1)]
    entries: tuple[ProvenLine, ...]
    checkpoint: str = Field(max_length=LARGEST_NOTE)


@dataclass(frozen=True)
class Step:
    """One thing that the ledger says: by whom, when, and where it says so."""

    index: int
    by: str
    at: datetime
    entry: Entry


@dataclass(frozen=True)
class Usage:
    """What was done with the study under one manifest.

    Attributes:
        manifest: the frozen cohort that the study is in; ``approval`` what it rests on.
        ended: withdrawals of the approval and purges of the manifest, if any.
        uses: what the site did with the cohort: `Use`, `Update` and `Evidence` entries.
        aggregates: what the hub made of those updates.
        models: registered from runs whose aggregates those are, up to their best round.
    """

    manifest: Step
    approval: Step
    ended: list[Step] = field(default_factory=list)
    uses: list[Step] = field(default_factory=list)
    aggregates: list[Step] = field(default_factory=list)
    models: list[Step] = field(default_factory=list)

    def take(self, step: Step) -> bool:
        """Add a later step, if it is about this manifest; whether it is."""
        entry = step.entry
        match entry:
            case Withdrawal():
                kept, about = self.ended, entry.approval == self.approval.index and self._own(entry)
            case Purge():
                kept, about = self.ended, self.manifest.index in entry.manifests and self._own(entry)
            case Use() | Update():
                kept, about = self.uses, entry.manifest == self.manifest.index and self._own(entry)
            case Evidence():
                kept, about = self.uses, self._own(entry) and any(use.index == entry.use for use in self.uses)
            case Aggregate():
                kept, about = self.aggregates, any(self._in(entry, use) for use in self.uses)
            case Model():
                kept, about = self.models, any(self._from(entry, made.entry) for made in self.aggregates)
            case _:
                return False
        if about:
            kept.append(step)
        return about

    def _own(self, entry: Entry) -> bool:
        return entry.origin == self.manifest.by

    @staticmethod
    def _in(aggregate: Aggregate, use: Step) -> bool:
        update = use.entry
        return (
            isinstance(update, Update)
            and use.index in aggregate.updates
            and (update.run, update.round) == (aggregate.run, aggregate.round)
        )

    @staticmethod
    def _from(model: Model, aggregate: Entry) -> bool:
        return isinstance(aggregate, Aggregate) and aggregate.run == model.run and aggregate.round <= model.best_round


@dataclass(frozen=True)
class StudyShown:
    """What a file shows: this, and no more."""

    study: str
    usages: tuple[Usage, ...]
    checkpoint: Checkpoint
    cosigned_by: tuple[str, ...]
    quorum: int


def usage_of(manifest: int, steps: dict[int, Step]) -> Usage:
    """The beginning of a :class:`Usage`.

    Raises:
        ProofRefused: ``broken-chain``, if the entries don't lead from an approval to that manifest.
    """
    frozen = steps.get(manifest)
    if frozen is None or not isinstance(frozen.entry, Manifest):
        raise ProofRefused(f"entry {manifest} isn't a manifest", code="broken-chain")
    approval = steps.get(frozen.entry.approval)
    if (
        approval is None
        or not isinstance(approval.entry, Approval)
        or approval.index >= manifest
        or (approval.by, approval.entry.project) != (frozen.by, frozen.entry.project)
    ):
        raise ProofRefused(f"the manifest at {manifest} rests on no approval of its own site", code="broken-chain")
    return Usage(frozen, approval)


def read_study_proof(text: str) -> StudyProof:
    """Read a file; nothing in it is checked here.

    Raises:
        ProofRefused: ``malformed``.
    """
    if len(text) > LARGEST_FILE:
        raise ProofRefused(f"the proof is over {LARGEST_FILE} characters", code="malformed")
    try:
        return StudyProof.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ProofRefused(f"this is no study proof: {where}: {first['msg']}", code="malformed") from error


def check_study_proof(proof: StudyProof, keys: LedgerKeys) -> StudyShown:
    """Check a file with keys that came from elsewhere.

    Raises:
        NoteRefused: the checkpoint isn't one that the hub signed.
        ProofRefused: ``no-quorum``; ``malformed``; ``bad-entry``, an entry isn't its origin's; ``broken-chain``; or an
            entry isn't in the tree, or the study not in the manifest (`proof.verify_inclusion`).
    """
    checkpoint = open_checkpoint(proof.checkpoint, keys.hub)
    cosigned_by = cosigners(proof.checkpoint, checkpoint, keys.witnesses)
    if not keys.is_quorum(cosigned_by):
        raise ProofRefused(
            f"{len(cosigned_by)} of {len(keys.witnesses)} witnesses cosigned this ledger; {keys.quorum} have to",
            code="no-quorum",
        )
    steps = {step.index: step for step in _steps(proof.entries, checkpoint, Members(keys.hub))}
    usages = [usage_of(opening.manifest, steps) for opening in proof.opened]
    for opening, usage in zip(proof.opened, usages, strict=True):
        entry = usage.manifest.entry
        assert isinstance(entry, Manifest)  # noqa: S101 - usage_of has looked
        path = tuple(bytes.fromhex(value) for value in opening.path)
        membership = Membership(bytes.fromhex(opening.salt), opening.place, opening.size, path)
        verify_membership(proof.study, entry.commitment, membership)
    for step in steps.values():
        for usage in usages:
            usage.take(step)
    return StudyShown(proof.study, tuple(usages), checkpoint, tuple(sorted(cosigned_by)), keys.quorum)


def _steps(lines: Sequence[ProvenLine], checkpoint: Checkpoint, members: Members) -> Iterator[Step]:
    """The entries in their order, each checked to be in the tree and by its origin."""
    last = -1
    for line in lines:
        if line.index <= last:
            raise ProofRefused("the entries aren't in the order of the ledger", code="malformed")
        last = line.index
        data = line.entry.encode()
        path = [bytes.fromhex(value) for value in line.path]
        verify_inclusion(line.index, checkpoint.size, leaf_hash(data), checkpoint.root, path)
        try:
            signed = read_signed_entry(data)
            members.check(signed, data)
            members.learn(signed.entry)
        except (EntryUnreadable, EntryRefused) as error:
            raise ProofRefused(f"entry {line.index}: {error}", code="bad-entry") from error
        yield Step(line.index, signed.entry.origin, signed.entry.at, signed.entry)


def speaks_of_members(entry: Entry, sites: set[str]) -> bool:
    """Whether a checker needs the entry to know the keys of these sites."""
    if isinstance(entry, Member | Departure):
        return entry.origin == HUB and entry.site in sites
    return isinstance(entry, Founding)
