"""What a federated engine does for the hub and asks of it: legs, rounds, and two narrow ports.

A *run* belongs to the hub: a durable state machine in its database. The engine carries one *leg* of a run at a
time: one or more consecutive rounds with the sites that are there. A leg may die at any moment; the hub then
starts another from the last whole round. Nothing here imports an engine, and the engine knows neither the hub
nor the node. Two ports turn the dependency round:

- :class:`Coordinator`, implemented by the hub over its database: where a leg begins, whether an update is
  admitted, and whether to go on after a round;
- :class:`Participant`, implemented by the node in its training process: take the weights, validate them, train,
  answer.

Models travel as safetensors bytes, updates as these or packed (:mod:`wardround.learning.wire`); both lie in memory
or in a file of this machine (:data:`wardround.foundation.stored.Held`). Rounds are numbered from 1. All times are in
seconds, all sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, get_args

from wardround.contracts.masking_step import MaskingStep
from wardround.foundation.stored import Held

UpdateKind = Literal["weights", "delta"]
MASKING_STEPS: tuple[MaskingStep, ...] = get_args(MaskingStep)


class UpdateRefused(Exception):
    """An update is not taken into the round.

    ``reason`` is a short code (``wrong-round``, ``not-finite``, ``unknown-entry`` ...); it goes back to the
    site and on the record, so it names no path and no person.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Declined(Exception):
    """A participant doesn't take part in this round, for a reason that it may tell (``not-approved``,
    ``paused`` ...).

    The site is named as missing with this reason and asked again at the next round.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EngineError(Exception):
    """The engine can't do what was asked; the message says what to do about it."""


@dataclass(frozen=True)
class LegRequest:
    """What the engine must know to bring a leg up.

    ``sites`` are those wanted, ``quorum`` how many of them must be connected at the start and answer in each round.
    ``gather_seconds`` is how long to wait for the rest of them once the quorum is there.
    """

    leg_id: str
    run_id: str
    sites: tuple[str, ...]
    quorum: int
    gather_seconds: float = 10.0


@dataclass(frozen=True)
class LegStart:
    """Where a leg begins: the hub's answer to :meth:`Coordinator.begin`.

    ``arrays`` are the weights of the last whole round (or the initial ones), ``first_round`` the number of the
    round to run now, ``total_rounds`` the last round of the run. ``deadline_seconds`` counts from the moment when
    all the sites have the round. ``plan`` is data for the sites and passes through the engine unread. With
    ``update_kind`` "delta" the weighted mean of the updates is added to the round's arrays; with "weights" it
    replaces them. ``robust`` is the rule by which updates are put together instead of their weighted mean, as the
    plan has it (:mod:`wardround.contracts.robust`); empty for the mean. An update that changes the model more than
    ``largest_change`` times as much as the middle one of its round isn't in the mean; 0: whatever its size.
    ``masking`` is what a leg of masked rounds
    needs (:class:`wardround.contracts.masking.MaskedLeg`); empty where updates are seen. ``turns`` has sites train one
    after another within a round (:class:`wardround.contracts.turns.Turns`); empty where they do at once.
    """

    run_id: str
    leg_id: str
    first_round: int
    total_rounds: int
    sites: tuple[str, ...]
    quorum: int
    deadline_seconds: float
    plan: Mapping[str, Any]
    arrays: Held = field(repr=False)
    update_kind: UpdateKind = "weights"
    robust: Mapping[str, Any] = field(default_factory=dict)
    largest_change: float = 0.0
    masking: Mapping[str, Any] = field(default_factory=dict)
    turns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UpdateHeader:
    """All that is known of an update but its arrays. ``digest`` is the SHA-256 of the update's bytes, in
    hexadecimal.

    ``metrics`` are of the aggregate that the site was given, measured before it trained. ``site`` is the name
    in the certificate of the connection that the update came over, not a claim.
    """

    run_id: str
    leg_id: str
    round: int
    site: str
    ledger_index: int | None
    digest: str
    weight: float
    metrics: Mapping[str, float]
    steps: int
    bytes_up: int


@dataclass(frozen=True)
class SiteRound:
    """One site's part in a round that it finished. ``seconds`` from the offer of the round to its whole update."""

    site: str
    weight: float
    metrics: Mapping[str, float]
    ledger_index: int | None
    steps: int
    digest: str
    bytes_up: int
    bytes_down: int
    seconds: float


@dataclass(frozen=True)
class Refusal:
    """An update that was refused, and why (a code of :class:`UpdateRefused`)."""

    site: str
    round: int
    reason: str


@dataclass(frozen=True)
class RoundResult:
    """A whole round: the new aggregate, who made it, who is missing and why, what was refused. A file that ``arrays``
    lie in is the leg's, and goes with it.
    """

    run_id: str
    leg_id: str
    round: int
    sites: tuple[SiteRound, ...]
    missing: Mapping[str, str]
    refused: tuple[Refusal, ...]
    seconds: float
    arrays: Held = field(repr=False)


@dataclass(frozen=True)
class Next:
    """What the hub wants after a round: go on to the next one, or stop here, and why.

    ``arrays`` are what the sites are given at the start of the next round; empty where that is the round's own
    aggregate.
    """

    go_on: bool
    reason: str = ""
    arrays: Held = field(default=b"", repr=False)


class Coordinator(Protocol):
    """The hub's side of a leg. Called from another thread or process than the hub's own; calls may overlap
    between legs.
    """

    def begin(self, leg_id: str) -> LegStart:
        """Where this leg starts. Raises :class:`EngineError` if the run has no more rounds or the leg isn't
        current.
        """

    def admit(self, header: UpdateHeader) -> None:
        """May this update be counted? Called once its arrays were found sound, before they are added.

        Raises :class:`UpdateRefused`.
        """

    def commit(self, result: RoundResult) -> Next:
        """Write a whole round durably, then say whether to go on. A round is whole when this has returned."""


@dataclass(frozen=True)
class RoundTask:
    """What a site gets at the start of a round. ``arrays`` is the current aggregate; ``plan`` comes from
    :class:`LegStart`. A file that ``arrays`` lie in is there as long as the round is open.

    A masked round is asked step by step; from its second step on ``arrays`` is what the hub tells there.
    ``largest_answer`` is how large an answer may be; 0: as large as ``arrays``.
    """

    run_id: str
    leg_id: str
    round: int
    total_rounds: int
    plan: Mapping[str, Any]
    arrays: Held = field(repr=False)
    update_kind: UpdateKind = "weights"
    step: Literal["", "advertise", "share", "input", "confirm", "reveal"] = ""
    largest_answer: int = 0

    @property
    def turn(self) -> int:
        """A number that grows with everything that is asked of a site in a leg: the round's, where it has no steps."""
        if not self.step:
            return self.round
        return (self.round - 1) * len(MASKING_STEPS) + 1 + MASKING_STEPS.index(self.step)


@dataclass(frozen=True)
class RoundUpdate:
    """What a site gives back. ``update`` has the same names, shapes and types as the task's arrays, as weights
    or as delta; in a masked round it is what the step has to give. A file that it lies in is the engine's, which
    removes it once it is sent.

    ``weight`` is finite and above 0 (training samples as a rule). ``metrics`` judge the arrays that were
    received.
    """

    weight: float
    metrics: Mapping[str, float]
    steps: int
    ledger_index: int | None = None
    update: Held = field(default=b"", repr=False)


class Participant(Protocol):
    """The node's side of a leg, served from the process that trains."""

    def take_part(self, task: RoundTask) -> RoundUpdate:
        """One round. Raises :class:`Declined`. Any other error counts as this site's failure in this round only."""

    def finish(self, leg_id: str, reason: str) -> None:
        """The leg ended as planned. May come more than once."""

    def abort(self, leg_id: str, reason: str) -> None:
        """The leg was given up: stop training soon. Comes from another thread while ``take_part`` runs."""


class LegState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        return self in (LegState.FINISHED, LegState.FAILED, LegState.ABORTED)


@dataclass(frozen=True)
class LegEnd:
    """What a site is told when there is no further round."""

    state: LegState
    reason: str


@dataclass(frozen=True)
class LegStatus:
    """How a leg stands. ``absent`` names the wanted sites that were not there at the start, or were lost, with
    the reason.

    ``last_round`` is the last round that was committed in this leg, 0 if none.
    """

    leg_id: str
    state: LegState
    reason: str = ""
    last_round: int = 0
    absent: Mapping[str, str] = field(default_factory=dict)


class FederationEngine(Protocol):
    """Brings legs up and reports on them. Thread-safe. One per hub; several legs may run at once."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def start(self) -> None:
        """Make ready to start legs and to be joined by sites. Raises :class:`EngineError`."""

    def connected(self) -> frozenset[str]:
        """The sites that could take part in a leg now."""

    def start_leg(self, request: LegRequest) -> None:
        """Begin a leg and return at once; its state is told by :meth:`status`. A failure to start is a failed
        leg.
        """

    def excuse(self, leg_id: str, site: str, reason: str) -> None:
        """A wanted site told that it won't come: a leg that still gathers its sites doesn't wait for it, and gives
        that reason. Does nothing to one that has begun.
        """

    def status(self, leg_id: str) -> LegStatus:
        """Raises :class:`KeyError` for a leg that this engine object never started."""

    def wait(self, leg_id: str, timeout: float | None = None) -> LegStatus:
        """Return when the leg is over or ``timeout`` has passed, whichever is first."""

    def abort(self, leg_id: str, reason: str) -> None:
        """Give a leg up; participants are told. Does nothing to one that is over."""

    def close(self) -> None:
        """Abort what runs and stop all that belongs to the engine. May be called again."""
