"""What a pathway's file says: which studies it takes, which model reads them, what their images have to be like.

```toml
title = "Glioma on brain MR"
purpose = "Outlines the tumour on a FLAIR series."
model = "3f0c…"                     # the digest of a model version; nothing is read without one

[studies]
when = 'Modality == "MR" and BodyPartExamined in ("BRAIN", "HEAD")'

[series]
when = 'SeriesDescription like "*flair*"'

[prior]
within_days = 366

[input]
orientation = ["axial"]
slice_spacing_mm = [0.8, 6.5]

[output]
kind = "outline"
of = "tumour"
```

The conditions are those of rules of routing (`node.receive.route_expression`), and are asked of the first image of each
series. Everything is data; nothing of it runs as code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wardround.contracts.metric import MetricName
from wardround.foundation.settings import Settings
from wardround.node.receive.route_expression import Expression, ExpressionRefused, parse

NAME = r"^[a-z][a-z0-9-]{0,59}$"
Orientation = Literal["axial", "coronal", "sagittal"]
Priority = Literal["emergency", "routine"]
OutputKind = Literal["outline", "volume", "class", "number"]
Summary = Literal["picture", "pdf"]
OUTLINES: frozenset[OutputKind] = frozenset({"outline", "volume"})
"""The outputs of a model that marks something in the image; of the others a model tells one number of the person."""


def _condition(text: str) -> str:
    try:
        parse(text)
    except ExpressionRefused as refused:
        raise ValueError(str(refused)) from None
    return text


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first of the two is the lower one; write [{pair[1]:g}, {pair[0]:g}]")
    return pair


Condition = Annotated[str, Field(min_length=1), AfterValidator(_condition)]
_Bound = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Span = Annotated[tuple[_Bound, _Bound], AfterValidator(_ordered)]
"""The lowest and the highest that will do, both included."""
_Line = Annotated[str, Field(min_length=1, max_length=300)]


class Studies(Settings):
    """when: what one of the series of a study has to be like. emergency_when: what makes it one to be read first."""

    when: Condition
    emergency_when: Condition | None = None


class Series(Settings):
    """when: which series of the study the model reads; of several that with the most images."""

    when: Condition


class Prior(Settings):
    """An earlier study of the same person, which the model reads too, so that a result says what it came to then.

    when: which of its series, the same that the model reads if not given; of several that with the most images.
    within_days: how old it may be at most, from study date to study date. missing: where this node keeps none that
    will do, `read` the study by itself, or `leave` it unread in its normal order.
    """

    when: Condition | None = None
    within_days: int = Field(default=366, ge=1, le=36_500)
    missing: Literal["read", "leave"] = "read"

    def in_words(self) -> str:
        """What is wanted, for people."""
        return f"one of at most {self.within_days} days before"


class Input(Settings):
    """What the series has to be like; what isn't named isn't looked at.

    orientation: of its slices, to the nearest within 35 degrees. slices: how many. slice_spacing_mm: from slice to
    slice; pixel_spacing_mm: within one. coverage_mm: slices times spacing. matrix: rows and columns. contrast: whether
    an agent is named. scanners: manufacturer and model of those that the model was validated on, as in
    "SIEMENS Prisma*". procedure_codes: of the procedure that was done or asked for, as CODE|SCHEME.
    """

    orientation: tuple[Orientation, ...] = ()
    slices: Span | None = None
    slice_spacing_mm: Span | None = None
    pixel_spacing_mm: Span | None = None
    coverage_mm: Span | None = None
    matrix: Span | None = None
    contrast: Literal["with", "without"] | None = None
    scanners: tuple[_Line, ...] = ()
    procedure_codes: tuple[Annotated[str, Field(pattern=r"^[^|]{1,64}\|[^|]{1,16}$")], ...] = ()


class Runtime(Settings):
    """seconds: how long one reading may take before its process is ended. attempts: how often a study is tried.
    memory_gb: what a model that is a program may take of memory.

    deadline_minutes: how long after its last image a result is still wanted, emergency_minutes that of an emergency;
    a study that isn't read by then keeps its normal order.
    """

    seconds: float = Field(default=120, ge=1, le=3600)
    attempts: int = Field(default=3, ge=1, le=10)
    memory_gb: float = Field(default=4, gt=0, le=1000)
    deadline_minutes: float = Field(default=240, gt=0, le=10_080)
    emergency_minutes: float = Field(default=30, gt=0, le=10_080)


@dataclass(frozen=True, slots=True)
class Before:
    """What a model gave of an earlier study, and how many days earlier that was made."""

    value: float
    days: int


class Output(Settings):
    """kind: what the model gives: an `outline`, a `volume` in ml from an outline, a `class` as its probability, or a
    `number`. of: what that is of, in words for people. unit: of a number. flag_above, flag_below: where a study is
    flagged, in ml, as a probability or in the unit. to: `pacs` or `node`, where results stay here. summary: what people
    see at one glance, a `picture` (Secondary Capture) or a page of `pdf`.
    """

    kind: OutputKind
    of: str = Field(min_length=1, max_length=60)
    unit: str = Field(default="", max_length=20)
    flag_above: float | None = Field(default=None, allow_inf_nan=False)
    flag_below: float | None = Field(default=None, allow_inf_nan=False)
    to: Literal["pacs", "node"] = "pacs"
    summary: Summary = "picture"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.unit and self.kind != "number":
            raise ValueError(f"unit is for a number; a {self.kind} has one of its own, leave it out")
        return self

    def flags(self, value: float) -> bool:
        """Whether a study of which the model gave this is flagged. An outline with no bound: wherever it marked."""
        if self.flag_above is None and self.flag_below is None:
            return self.kind == "outline" and value > 0
        above = self.flag_above is not None and value > self.flag_above
        return above or (self.flag_below is not None and value < self.flag_below)

    def amount(self, value: float) -> str:
        """A number that the model gave, with its unit."""
        match self.kind:
            case "outline" | "volume":
                return f"{value:.1f} ml"
            case "class":
                return f"{value:.0%}"
            case "number":
                return f"{value:.4g} {self.unit}".rstrip()

    def in_words(self, value: float, before: Before | None = None) -> str:
        """What was found, for people, and what it came to in an earlier study."""
        if self.kind == "outline":
            told = f"{self.of} marked, {self.amount(value)}" if value > 0 else f"no {self.of} marked"
        else:
            told = f"{self.of}: {self.amount(value)}"
        return told if before is None else f"{told} ({self.amount(before.value)} {before.days} days before)"


class Needed(Settings):
    """What has to be shown of a model before it serves here, in words for those who decide; the stages say which
    records open which stage. metric: by which it is judged. patients: of how many of this hospital at least."""

    metric: MetricName
    patients: int = Field(ge=1, le=100_000)
    about: str = Field(default="", max_length=500)


class Definition(Settings):
    """A pathway's file. `model` is the digest of the version that reads, or at least its first 8 digits."""

    title: _Line
    area: str = Field(default="", max_length=40)
    purpose: str = Field(min_length=1, max_length=1000)
    exclusions: str = Field(default="", max_length=1000)
    inputs: str = Field(default="", max_length=500)
    model: str = Field(default="", pattern=r"^([0-9a-f]{8,64})?$")
    labels: bool = False
    studies: Studies
    series: Series | None = None
    prior: Prior | None = None
    input: Input = Input()
    runtime: Runtime = Runtime()
    output: Output
    evidence: Needed | None = None

    @cached_property
    def takes(self) -> Expression:
        """What one of the series of a study has to be like."""
        return parse(self.studies.when)

    @cached_property
    def emergency(self) -> Expression | None:
        return None if self.studies.emergency_when is None else parse(self.studies.emergency_when)

    @cached_property
    def reads(self) -> Expression:
        """What the series that the model reads is like."""
        return self.takes if self.series is None else parse(self.series.when)

    @cached_property
    def reads_before(self) -> Expression:
        """What the series of an earlier study is like that the model reads too."""
        return self.reads if self.prior is None or self.prior.when is None else parse(self.prior.when)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the file says, comments and order aside. What it leaves out doesn't count: a version that
        knows of more settings finds the same digest."""
        return sha256(self.model_dump_json(exclude_unset=True).encode()).hexdigest()

    def names_model(self, digest: str) -> bool:
        return bool(self.model) and digest.startswith(self.model)

    def within(self, priority: Priority) -> timedelta:
        """How long after the last image a result is wanted."""
        runtime = self.runtime
        minutes = runtime.emergency_minutes if priority == "emergency" else runtime.deadline_minutes
        return timedelta(minutes=minutes)
