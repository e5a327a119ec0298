"""What a data controller may tighten when approving a project, and what then holds at that hospital."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from wardround.contracts.base import Frozen
from wardround.contracts.masking import Masking
from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.contracts.privacy import Privacy, chosen
from wardround.contracts.project import Leaving, LeavingKind, Project
from wardround.contracts.steps import StepName, in_order


class LimitTooLoose(ValueError):
    """A limit that allows more than the project asks, or that can't be kept; the text says which."""


class MessageLimit(Frozen):
    """A kind of message may leave smaller, or less often, than the project asks. `times` of 0: not at all."""

    kind: LeavingKind
    largest_bytes: int | None = Field(default=None, ge=1, le=2**40)
    times: int | None = Field(default=None, ge=0, le=10_000)


def _each_once(limits: tuple[MessageLimit, ...]) -> tuple[MessageLimit, ...]:
    if len({limit.kind for limit in limits}) < len(limits):
        raise ValueError("a kind of message stands there twice; name each once")
    return limits


def _is_none(value: object) -> bool:
    return value is None


class ApprovalLimits(Frozen):
    """A data controller's limits on one project, each tighter than what the project asks; None leaves it as asked.

    `until` is the last day of use; `rounds` are those of each run; `runs` is how many runs may use data here.
    With `no_local_model` no model that was trained here alone leaves. `clip_norm` and `noise_multiplier` are as in
    `Privacy`, at most and at least; `epsilon` and `delta` as in `PatientPrivacy`, at most.
    """

    until: date | None = None
    rounds: int | None = Field(default=None, ge=1, le=1000)
    runs: int | None = Field(default=None, ge=1, le=100)
    messages: Annotated[tuple[MessageLimit, ...], Field(max_length=3), AfterValidator(_each_once)] = ()
    no_local_model: bool = False
    clip_norm: float | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)
    noise_multiplier: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    epsilon: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False, exclude_if=_is_none)
    delta: float | None = Field(default=None, gt=0, le=1e-2, allow_inf_nan=False, exclude_if=_is_none)

    @property
    def empty(self) -> bool:
        return self == ApprovalLimits()

    def in_words(self) -> list[str]:
        """A line for each limit; none where there is none."""
        return list(_words(self))


class Terms(Frozen):
    """What a project may do at one hospital: as asked, or tighter. `until` is the last day of use."""

    until: date
    rounds: int
    runs: int
    leaves: tuple[Leaving, ...]
    privacy: Privacy | None
    patient_privacy: PatientPrivacy | None = None
    masking: Masking | None = None
    quantise: bool = False

    @property
    def steps(self) -> tuple[StepName, ...]:
        """What is done to an update here before it leaves, in order."""
        return in_order(chosen(self.privacy, masked=self.masking is not None, quantised=self.quantise))

    def leaving(self, kind: LeavingKind) -> Leaving | None:
        """How much of a kind may leave; None: nothing."""
        return next((leaving for leaving in self.leaves if leaving.kind == kind), None)


def check_tightens(project: Project, limits: ApprovalLimits) -> None:
    """Whether every limit is tighter than what the project asks, or the same, and can be kept.

    Raises:
        LimitTooLoose: it isn't; the text names the limit and both numbers.
    """
    plan, privacy = project.plan, project.plan.privacy
    if limits.until is not None and limits.until > project.ends:
        raise LimitTooLoose(f"until {limits.until} is later than {project.ends}, when the project ends")
    for name, limit, asked in (("rounds", limits.rounds, plan.rounds), ("runs", limits.runs, project.runs)):
        if limit is not None and limit > asked:
            raise LimitTooLoose(f"{limit} {name} are more than the {asked} that the project asks")
    for message in limits.messages:
        leaving = project.leaving(message.kind)
        if leaving is None:
            raise LimitTooLoose(f"the project lets no {message.kind} leave; there is nothing to limit")
        if message.largest_bytes is not None and message.largest_bytes > leaving.largest_bytes:
            raise LimitTooLoose(f"{message.kind} of {message.largest_bytes:,} bytes is more than the project asks")
        if message.times is not None and message.times > leaving.times:
            raise LimitTooLoose(f"{message.kind} {message.times} times is more often than the project asks")
        if message.kind == "run-update" and message.times == 0:
            raise LimitTooLoose("without any run-update there is nothing to approve; refuse the project instead")
    if privacy is not None and limits.clip_norm is not None and limits.clip_norm > privacy.clip_norm:
        raise LimitTooLoose(f"a norm of {limits.clip_norm:g} is more than the {privacy.clip_norm:g} of the plan")
    if limits.noise_multiplier is not None:
        if privacy is not None and limits.noise_multiplier < privacy.noise_multiplier:
            raise LimitTooLoose(f"noise of {limits.noise_multiplier:g} is less than the plan's")
        if privacy is None and limits.clip_norm is None:
            raise LimitTooLoose("noise needs a norm that updates are cut to; give a clip norm too")
    _check_budget(plan.patient_privacy, limits)


def _check_budget(asked: PatientPrivacy | None, limits: ApprovalLimits) -> None:
    if limits.epsilon is None and limits.delta is None:
        return
    if asked is None:
        raise LimitTooLoose("the plan has no patient privacy, so there is no epsilon or delta to limit")
    if limits.epsilon is not None and limits.epsilon > asked.epsilon:
        raise LimitTooLoose(f"an epsilon of {limits.epsilon:g} is more than the {asked.epsilon:g} of the plan")
    if limits.delta is not None and limits.delta > asked.delta:
        raise LimitTooLoose(f"a delta of {limits.delta:g} is more than the {asked.delta:g} of the plan")


def terms_of(project: Project, *limits: ApprovalLimits) -> Terms:
    """What holds where a project was approved under `limits`: in each number the tightest of all.

    A model trained alone doesn't leave where updates are clipped, or patients' parts in them bounded: it would leave
    without that.
    """
    privacy = _privacy(project.plan.privacy, limits)
    patients = _patient_privacy(project.plan.patient_privacy, limits)
    alone = privacy is None and patients is None and not any(one.no_local_model for one in limits)
    leaves = [_limited(leaving, limits) for leaving in project.leaves if alone or leaving.kind != "local-model"]
    return Terms(
        until=min([project.ends, *(one.until for one in limits if one.until is not None)]),
        rounds=min([project.plan.rounds, *(one.rounds for one in limits if one.rounds is not None)]),
        runs=min([project.runs, *(one.runs for one in limits if one.runs is not None)]),
        leaves=tuple(leaving for leaving in leaves if leaving is not None),
        privacy=privacy,
        patient_privacy=patients,
        masking=project.plan.masking,
        quantise=project.plan.quantise,
    )


def _privacy(asked: Privacy | None, limits: tuple[ApprovalLimits, ...]) -> Privacy | None:
    """The smallest norm with the most noise; None without a norm, since noise is in units of it."""
    bounds: tuple[Privacy | ApprovalLimits, ...] = limits if asked is None else (asked, *limits)
    norms = [one.clip_norm for one in bounds if one.clip_norm is not None]
    noise = [one.noise_multiplier for one in bounds if one.noise_multiplier is not None]
    return Privacy(clip_norm=min(norms), noise_multiplier=max(noise, default=0.0)) if norms else None


def _patient_privacy(asked: PatientPrivacy | None, limits: tuple[ApprovalLimits, ...]) -> PatientPrivacy | None:
    """What is asked, with the smallest budget."""
    if asked is None:
        return None
    return asked.model_copy(
        update={
            "epsilon": min([asked.epsilon, *(one.epsilon for one in limits if one.epsilon is not None)]),
            "delta": min([asked.delta, *(one.delta for one in limits if one.delta is not None)]),
        }
    )


def _limited(leaving: Leaving, limits: tuple[ApprovalLimits, ...]) -> Leaving | None:
    own = [message for one in limits for message in one.messages if message.kind == leaving.kind]
    size = min([leaving.largest_bytes, *(m.largest_bytes for m in own if m.largest_bytes is not None)])
    times = min([leaving.times, *(m.times for m in own if m.times is not None)])
    return Leaving(kind=leaving.kind, largest_bytes=size, times=times) if times else None


def _words(limits: ApprovalLimits) -> Iterator[str]:
    if limits.until is not None:
        yield f"until {limits.until:%Y-%m-%d}"
    if limits.rounds is not None:
        yield f"at most {_number(limits.rounds, 'round')} of each run"
    if limits.runs is not None:
        yield f"at most {_number(limits.runs, 'run')}"
    for message in limits.messages:
        size = "" if message.largest_bytes is None else f", at most {message.largest_bytes:,} bytes"
        times = "" if message.times is None else f", at most {_number(message.times, 'time')}"
        yield f"{message.kind}{size}{times}" if message.times != 0 else f"no {message.kind}"
    if limits.no_local_model:
        yield "no model trained here alone leaves"
    if limits.clip_norm is not None:
        yield f"each update cut to a norm of {limits.clip_norm:g}"
    if limits.noise_multiplier is not None:
        yield f"noise of at least {limits.noise_multiplier:g} times that norm"
    if limits.epsilon is not None:
        yield f"patients' epsilon at most {limits.epsilon:g}"
    if limits.delta is not None:
        yield f"patients' delta at most {limits.delta:g}"


def _number(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
