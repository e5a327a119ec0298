"""From newly trained weights to the update that may leave, step by step as `wardround.contracts.steps` has them.

`IN_LEARNING` holds what the learning process does of that table; the size check and the log are the node's own
(`wardround.node.training.participant`).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from wardround.contracts.approval_limits import Terms
from wardround.contracts.privacy import Privacy
from wardround.contracts.steps import StepName
from wardround.learning.arrays import Arrays, check, difference, digest, total
from wardround.learning.privacy import clipped, noised
from wardround.learning.wire import quantised


@dataclass(frozen=True)
class Trained:
    """One round's training: `after` came of `before` under `terms`. `key`: 32 bytes, this hospital's secret of the
    round, from which its noise follows. `owed`: what eight bits lost of the update before, if any."""

    before: Arrays = field(repr=False)
    after: Arrays = field(repr=False)
    terms: Terms
    key: bytes = field(repr=False)
    owed: Arrays = field(default_factory=dict, repr=False)

    def seed(self, use: str) -> bytes:
        """32 bytes that follow from the secret and from this very update: the same update has the same again, so that
        asking twice averages nothing out, and any other has its own, so that two can't be subtracted to be rid of it.

        Raises `ValueError` where the key isn't of 32 bytes.
        """
        if len(self.key) != 32:
            raise ValueError("a round's secret has 32 bytes")
        told = f"wardround {use} v1 {digest(self.before)} {digest(self.after)} {self.privacy.content_digest()}"
        return hmac.digest(self.key, told.encode(), "sha256")

    @property
    def privacy(self) -> Privacy:
        """Raises `ValueError` where nothing was agreed: no step that needs it is done then."""
        if self.terms.privacy is None:
            raise ValueError("no norm was agreed that this update could be cut to")
        return self.terms.privacy


@dataclass(frozen=True)
class Released:
    """What may leave of a round's training, and what is owed of it: the next update has that added."""

    update: Arrays = field(repr=False)
    owed: Arrays = field(repr=False)


def released(trained: Trained) -> Released:
    """A round's update after its steps.

    Raises:
        ArraysRefused: it isn't the agreed network's weights, or a value isn't finite, before or after a step.
    """
    values, owed = trained.after, Arrays()
    for name in trained.terms.steps:
        if name in IN_LEARNING:
            values = IN_LEARNING[name](values, trained)
        elif name == "quantise":
            values, owed = _quantise(values, trained)
    check(values, like=trained.before)
    return Released(values, owed)


def _agreed(values: Arrays, trained: Trained) -> Arrays:
    check(trained.before)
    check(values, like=trained.before)
    return values


def _delta(values: Arrays, trained: Trained) -> Arrays:
    with np.errstate(over="ignore"):  # what doesn't fit float32 is refused after the last step
        return difference(values, trained.before)


def _clip(values: Arrays, trained: Trained) -> Arrays:
    return clipped(values, trained.privacy.clip_norm)


def _noise(values: Arrays, trained: Trained) -> Arrays:
    privacy = trained.privacy
    return noised(values, privacy.noise_multiplier * privacy.clip_norm, trained.seed("update noise"))


def _quantise(values: Arrays, trained: Trained) -> tuple[Arrays, Arrays]:
    """In eight bits, and what they lost. An update that was cut stays within its norm: its values are rounded towards
    zero, and nothing is carried from one update to the next."""
    if "clip" in trained.terms.steps:
        return quantised(values, towards_zero=True), {}
    meant = total(values, trained.owed) if trained.owed else values
    sent = quantised(meant)
    return sent, difference(meant, sent)


IN_LEARNING: Mapping[StepName, Callable[[Arrays, Trained], Arrays]] = {
    "agreed-parameters": _agreed,
    "delta": _delta,
    "clip": _clip,
    "noise": _noise,
}
