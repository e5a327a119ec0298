"""This hospital's part in masked rounds: what it tells in each step, on the record before it leaves.

The protocol is `wardround.learning.masking.site`. Here it meets this hospital's own approval, its ledger key, its copy
of the ledger, by which it knows the others, and the gateway. All secrets of a round are in memory alone: a node that
ends within a round has dropped out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from wardround.contracts.masking import MaskedRound, MaskingStep, Survivors
from wardround.contracts.outbound import MaskingMessage
from wardround.federation.engine import Declined, RoundTask, RoundUpdate
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.foundation.stored import content
from wardround.learning.arrays import ArraysRefused, digest, from_bytes
from wardround.learning.masking.fixed_point import bound_of, flattened
from wardround.learning.masking.refusal import MaskingRefused
from wardround.learning.masking.roster import read, verify_by
from wardround.learning.masking.site import MaskingSite
from wardround.node import audit
from wardround.node.gateway.gateway import Gateway
from wardround.node.record.entries import SiteEntries
from wardround.node.training.assignment import Assignment, Assignments
from wardround.node.training.learner import Lesson
from wardround.node.training.tables import MaskedSum

NOT_THE_PLAN = "not-the-approved-plan"


@dataclass
class _Round:
    """One masked round under way: `arrays` are the weights that it began with, kept until they are learned from."""

    task: RoundTask
    project: str
    edition: str
    site: MaskingSite
    arrays: bytes = field(repr=False)


class Masks:
    """The masked rounds of all runs at this node; of each run the newest. Every step raises `Declined`."""

    def __init__(
        self,
        assignments: Assignments,
        entries: SiteEntries,
        gateway: Gateway,
        database: Database,
        clock: Clock,
    ) -> None:
        self._assignments = assignments
        self._entries = entries
        self._gateway = gateway
        self._database = database
        self._clock = clock
        self._rounds: dict[str, _Round] = {}

    @staticmethod
    def check_plan(task: RoundTask, assignment: Assignment) -> None:
        """What was approved masked isn't given unmasked, whatever the hub asks, nor the other way round."""
        if (assignment.terms.masking is None) != (task.step == ""):
            raise Declined(NOT_THE_PLAN)

    def advertise(self, task: RoundTask, project: str, edition: str, assignment: Assignment) -> RoundUpdate:
        """Step 1: two fresh keys, signed, for the round that this hospital approved and the weights that it was given.

        1. both norm and threshold are those of this hospital's approval;
        2. its own ledger key stands in the settled ledger as it is here, and so do the others';
        3. the keys are bound to ledger, run, leg, round, edition, weights and threshold.
        """
        masking, privacy = assignment.terms.masking, assignment.terms.privacy
        if masking is None or privacy is None:
            raise Declined(NOT_THE_PLAN)
        keys = self._entries.known_keys()
        if keys.get(self._entries.site) != self._entries.public_key:
            raise Declined("ledger-key-differs")
        arrays = content(task.arrays)
        with _refusals():
            about = MaskedRound(
                ledger=self._entries.ledger,
                run=task.run_id,
                leg=task.leg_id,
                round=task.round,
                project=edition,
                model=digest(from_bytes(arrays)),
                threshold=masking.threshold,
            )
            site = MaskingSite(
                self._entries.site,
                about,
                weight=float(assignment.weight),
                bound=bound_of(privacy),
                sign=self._entries.sign_masking,
                verify=verify_by(keys),
            )
            self._rounds[task.run_id] = now = _Round(task, project, edition, site, arrays)
            return self._told(now, task, site.advertise())

    def answer(self, task: RoundTask) -> RoundUpdate:
        """Steps 2, 4 and 5: shares for the others, a signature over who survived, one share of each."""
        now = self._round(task)
        self._check_holds(now)
        steps: Mapping[str, Callable[[bytes], bytes]] = {
            "share": now.site.share,
            "confirm": self._confirming(now),
            "reveal": self._revealing(now),
        }
        with _refusals():
            return self._told(now, task, steps[task.step](content(task.arrays)))

    def weights(self, task: RoundTask) -> bytes:
        """What step 3 learns from: the weights that were given, and signed, in step 1."""
        now = self._round(task)
        arrays, now.arrays = now.arrays, b""
        return arrays

    def masked(self, task: RoundTask, lesson: Lesson) -> Lesson:
        """Step 3: the lesson with its update behind masks, and the digest of that."""
        with _refusals():
            update = self._round(task).site.input(content(task.arrays), flattened(from_bytes(lesson.update)))
        return replace(lesson, update=update, digest=sha256(update).hexdigest())

    def drop(self, leg_id: str) -> None:
        """Forget the secrets of a leg that is over."""
        for run, now in list(self._rounds.items()):
            if now.task.leg_id == leg_id:
                now.site.forget()
                del self._rounds[run]

    def _round(self, task: RoundTask) -> _Round:
        now = self._rounds.get(task.run_id)
        if now is None or (now.task.leg_id, now.task.round) != (task.leg_id, task.round):
            raise Declined("out-of-turn")
        return now

    def _check_holds(self, now: _Round) -> None:
        """Whether the approval still holds; where it doesn't, nothing of the round leaves any more."""
        try:
            self._assignments.check_holds(now.project, now.edition)
        except NotAllowed as error:
            now.site.forget()
            raise Declined(error.code) from error

    def _confirming(self, now: _Round) -> Callable[[bytes], bytes]:
        """As the site's step; refused where this hospital helped to unmask another sum of the same before: the hub
        could take one sum from the other, and have what a single hospital gave."""

        def confirm(told: bytes) -> bytes:
            survivors = list(read(Survivors, told).sites)
            with self._database.reading() as session:
                if any(before.survivors != survivors for before in _sums(session, now)):
                    raise MaskingRefused("other-survivors-before")
            return now.site.confirm(told)

        return confirm

    def _revealing(self, now: _Round) -> Callable[[bytes], bytes]:
        """As the site's step, once it is on the disk which sum it unmasks."""

        def reveal(told: bytes) -> bytes:
            survivors = list(now.site.survivors)
            with self._database.writing() as session:
                if not any(before.survivors == survivors for before in _sums(session, now)):
                    session.add(
                        MaskedSum(
                            run=now.task.run_id,
                            round=now.task.round,
                            edition=now.edition,
                            model=now.site.about.model,
                            survivors=survivors,
                            revealed_at=self._clock(),
                        )
                    )
                said = f"round {now.task.round}, {len(survivors)} hospitals"
                audit.record(session, "program", "reveal-shares", now.task.run_id, said)
            return now.site.reveal(told)

        return reveal

    def _told(self, now: _Round, task: RoundTask, message: bytes) -> RoundUpdate:
        """What leaves in a step: it is in the gateway's log first."""
        step: MaskingStep = task.step or "advertise"
        said = MaskingMessage(
            project=now.project,
            run=task.run_id,
            round=task.round,
            step=step,
            digest=sha256(message).hexdigest(),
        )
        try:
            self._gateway.record(said, len(message))
        except WardroundError as error:
            now.site.forget()
            raise Declined(error.code) from error
        return RoundUpdate(weight=1.0, metrics={}, steps=0, update=message)


def _sums(session: Session, now: _Round) -> list[MaskedSum]:
    """The sums that this hospital helped to unmask of this round, or of updates from the same weights."""
    same_round = and_(MaskedSum.run == now.task.run_id, MaskedSum.round == now.task.round)
    same_weights = and_(MaskedSum.edition == now.edition, MaskedSum.model == now.site.about.model)
    return list(session.scalars(select(MaskedSum).where(or_(same_round, same_weights))))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (MaskingRefused, ArraysRefused) as error:
        raise Declined(error.reason) from error
    except NotAllowed as error:
        raise Declined(error.code) from error
