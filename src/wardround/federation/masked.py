"""A masked round at the hub, as the steps that a leg asks of its sites.

What is told and checked in each step is :mod:`wardround.learning.masking.hub`; here it meets the bookkeeping of who is
waited for. The hub admits an update as ever, by the digest of what it was sent, which is masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from wardround.contracts.masking import MaskedLeg, MaskedRound, MaskingStep
from wardround.federation.engine import MASKING_STEPS, RoundTask, RoundUpdate, UpdateHeader, UpdateRefused
from wardround.federation.rounds import OpenRound
from wardround.foundation.stored import Held, content
from wardround.learning.arrays import Arrays, digest, from_bytes, to_bytes, total
from wardround.learning.masking.hub import MaskingHub
from wardround.learning.masking.refusal import MaskingRefused
from wardround.learning.masking.roster import verify_by
from wardround.learning.wire import shaped

NEEDS_QUORUM: frozenset[MaskingStep] = frozenset({"advertise", "share", "input"})
"""The steps that as many sites have to do as a round needs; those that unmask need the protocol's own threshold."""

STEP_SECONDS = 60.0
"""How long a step may take in which nothing is learned."""

LARGEST_MESSAGE = 1024 * 1024


def round_of(turn: int) -> int:
    """The round of a turn of a masked leg."""
    return (turn - 1) // len(MASKING_STEPS) + 1


@dataclass
class MaskedStep(OpenRound):
    """One step. Only those take part that did the one before (`before`; None: whoever comes). `given` is how many
    bytes the round's weights have."""

    model: Arrays = field(kw_only=True, repr=False)
    hub: MaskingHub = field(kw_only=True, repr=False)
    before: frozenset[str] | None = field(kw_only=True)
    given: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self._step: MaskingStep | Literal[""] = self.task.step

    @property
    def admits(self) -> bool:
        return self._step == "input"

    def bytes_down(self, site: str) -> int:
        return self.given

    def task_for(self, site: str) -> RoundTask:
        return replace(self.task, arrays=self.hub.shares_for(site)) if self._step == "input" else self.task

    def seconds(self, deadline: float) -> float:
        return deadline if self._step == "input" else min(deadline, STEP_SECONDS)

    def offer(self, site: str, now: float) -> bool:
        return (self.before is None or site in self.before) and super().offer(site, now)

    def sound_arrays(self, update: RoundUpdate) -> bytes:
        message = content(update.update)
        if self._step == "input":
            try:
                self.hub.check_size(message)
            except MaskingRefused as error:
                raise UpdateRefused(error.reason) from error
        return message

    def close(self) -> None:
        """The protocol keeps one sum, which goes with it."""

    def header(self, site: str, update: RoundUpdate) -> UpdateHeader:
        told = super().header(site, update)
        if self._step == "input" and told.weight != self.hub.weight_of(site):
            raise UpdateRefused("wrong-weight")
        return told

    def add(self, header: UpdateHeader, arrays: Any) -> None:
        take = {
            "advertise": self.hub.advertised,
            "share": self.hub.shared,
            "input": self.hub.masked,
            "confirm": self.hub.confirmed,
            "reveal": self.hub.revealed,
        }[self._step]
        try:
            take(header.site, arrays)
        except MaskingRefused as error:
            raise UpdateRefused(error.reason) from error

    def aggregate(self) -> Held:
        """The round's model plus the mean of what the survivors changed. Raises `ArraysRefused`, `MaskingRefused`."""
        mean = self.hub.result().astype(np.float32)
        return to_bytes(total(self.model, shaped(mean, self.model)))


class Masked:
    """One masked round, step after step.

    Args:
        task: as it would be asked of a site without masks.
    """

    def __init__(self, leg: MaskedLeg, task: RoundTask) -> None:
        model = from_bytes(task.arrays)
        size = sum(array.size for array in model.values())
        about = MaskedRound(
            ledger=leg.ledger,
            run=task.run_id,
            leg=task.leg_id,
            round=task.round,
            project=leg.project,
            model=digest(model),
            threshold=leg.threshold,
        )
        self._hub = MaskingHub(about, size, verify_by({site: bytes.fromhex(key) for site, key in leg.keys.items()}))
        self._task = task
        self._model = model
        self._size = size
        self._told: Mapping[MaskingStep, bytes] = {}
        self._before: frozenset[str] | None = None
        self._opened = 0.0
        self.whole: MaskedStep
        """The step in which updates came; its aggregate is the round's once all steps are closed."""

    def open(self, name: MaskingStep, waiting: set[str], missing: dict[str, str], now: float) -> MaskedStep:
        task = self._task
        if name == "advertise":
            self._opened = now
        else:
            task = replace(task, arrays=self._told.get(name, b""))
        largest = 4 * self._size if name == "input" else LARGEST_MESSAGE
        return MaskedStep(
            replace(task, step=name, largest_answer=largest),
            now,
            waiting,
            missing,
            model=self._model,
            hub=self._hub,
            before=self._before,
            given=len(self._task.arrays),
        )

    def close(self, step: MaskedStep) -> None:
        """Make of a step what the next one is told. Raises `MaskingRefused` where the round can't go on."""
        self._before = frozenset(step.done)
        match step.task.step:
            case "advertise":
                self._told = {"share": self._hub.roster()}
            case "share":
                self._hub.close_shares()
            case "input":
                self.whole, self._told = step, {"confirm": self._hub.survivors()}
            case "confirm":
                self._told = {"reveal": self._hub.confirmations()}
            case _:
                self._hub.unmask()
                self.whole.opened = self._opened
