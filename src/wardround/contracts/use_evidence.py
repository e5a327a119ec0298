"""Evidence of a model in use: what its order of the worklist did, what second readings did, and reader studies.

Each record says at which stage it was made. Times are in seconds. None holds an identifier; none leaves the hospital.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wardround.contracts.base import Digest, Frozen, ReasonCode, Utc

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0)]


class _OfUse(Frozen):
    model: Digest
    pathway: str
    stage: str
    since: Utc
    until: Utc


class Wait(Frozen):
    """How long one study waited until it was opened and until it was reported, and how long it would have in order of
    arrival, with the same readers at the same times; None where that didn't happen. `late` is whether it was opened
    past its deadline, `late_by_arrival` whether it would have been."""

    open: Seconds
    open_by_arrival: Seconds
    report: Seconds | None = None
    report_by_arrival: Seconds | None = None
    late: bool = False
    late_by_arrival: bool = False
    finding: bool | None = None


class OrderEffect(_OfUse):
    """How much sooner flagged studies were opened and reported than in order of arrival, and what a flag was worth.

    `flagged` are those that the model flagged and that somebody opened; `studies` is how many were opened in all, and
    `days` over how many days, so that the alerts of one day follow.
    """

    kind: Literal["order-effect"] = "order-effect"
    protocol: Literal["against-arrival/1"] = "against-arrival/1"
    studies: Number
    days: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    flagged: tuple[Wait, ...]
    prevalence: tuple[Number, Number]


class DelayOfUnflagged(_OfUse):
    """How much longer the studies that weren't flagged waited than in order of arrival; those in which a person found
    something all the same are the ones who may be harmed."""

    kind: Literal["delay-of-unflagged"] = "delay-of-unflagged"
    protocol: Literal["against-arrival/1"] = "against-arrival/1"
    unflagged: tuple[Wait, ...]


class SecondRead(Frozen):
    """One study: what a person first found, what the model said, what the person found in the end, and what is so, as
    far as that was adjudicated. `reason` is the code with which the model was overruled, `overlap` Dice between its
    outline and the outline as the person corrected it, where they drew it."""

    first: bool
    model: bool
    final: bool
    truth: bool | None = None
    reason: ReasonCode | None = None
    overlap: float | None = Field(default=None, ge=0, le=1, exclude_if=lambda value: value is None)


class SecondReads(_OfUse):
    """First and final readings, both kept, of every study that was read before the model's result was shown."""

    kind: Literal["second-reads"] = "second-reads"
    protocol: Literal["first-then-shown/1"] = "first-then-shown/1"
    reads: tuple[SecondRead, ...]


class ReaderStudy(Frozen):
    """Readers who each rated all cases without and with the model: `alone` and `aided` are (readers, cases), higher for
    the finding, `positive` what is so. `margin` is by how much the area under the curve may be less with the model;
    it was set before."""

    kind: Literal["reader-study"] = "reader-study"
    protocol: Literal["obuchowski-rockette/1"] = "obuchowski-rockette/1"
    model: Digest
    pathway: str
    positive: tuple[bool, ...]
    alone: tuple[tuple[Finite, ...], ...]
    aided: tuple[tuple[Finite, ...], ...]
    margin: Annotated[float, Field(ge=0, le=0.2)] = 0.05

    @model_validator(mode="after")
    def _whole(self) -> ReaderStudy:
        if len(self.alone) < 2 or len(self.alone) != len(self.aided):
            raise ValueError("a reader study has two readers or more, each without and with the model")
        if any(len(row) != len(self.positive) for row in (*self.alone, *self.aided)):
            raise ValueError("every reader rates every case")
        if min(sum(self.positive), len(self.positive) - sum(self.positive)) < 2:
            raise ValueError("a reader study has two cases with the finding and two without, at least")
        return self
