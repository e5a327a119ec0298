"""What is done to an update before it leaves a hospital, as numbers."""

from __future__ import annotations

from pydantic import Field

from wardround.contracts.base import Frozen
from wardround.contracts.steps import Chosen


class Privacy(Frozen):
    """A bound on what one hospital's data can do to one update, and noise that hides the rest.

    `clip_norm` is the Euclidean norm that the difference between a round's new weights and those it began with is cut
    to. `noise_multiplier` is the standard deviation of the Gaussian noise that each hospital adds to every weight, in
    units of `clip_norm`; 0 adds none. The noise is the hospital's own: what the hub sees of one hospital has it whole.
    """

    clip_norm: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    noise_multiplier: float = Field(default=0.0, ge=0, le=1000, allow_inf_nan=False)

    @property
    def steps(self) -> tuple[Chosen, ...]:
        return ("clip", "noise") if self.noise_multiplier else ("clip",)

    def in_words(self) -> str:
        noise = f", noise of {self.noise_multiplier:g} times that" if self.noise_multiplier else ", no noise"
        return f"each update cut to a norm of {self.clip_norm:g}{noise}"


def chosen(privacy: Privacy | None, *, masked: bool, quantised: bool) -> tuple[Chosen, ...]:
    """The steps that are done to an update for these, beside those that always are."""
    return (
        *(() if privacy is None else privacy.steps),
        *(("mask",) if masked else ()),
        *(("quantise",) if quantised else ()),
    )
