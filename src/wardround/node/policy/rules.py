"""The form of `policy.toml`: closed, typed, frozen. A key that is absent takes the default that is written here."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import AfterValidator, Field, model_validator

from wardround.contracts.algorithm import AlgorithmName
from wardround.contracts.base import Digest
from wardround.contracts.data_use import DuoCode
from wardround.contracts.disclosure import SMALLEST_TOLD
from wardround.contracts.lawful_basis import Article6, Article9
from wardround.contracts.robust import RobustName
from wardround.contracts.run_plan import PackageName
from wardround.contracts.steps import Chosen
from wardround.foundation.settings import Settings
from wardround.node.policy.kinds import ESSENTIAL, LIMITABLE
from wardround.node.retrieve.hours import Hours

SMALLEST_COHORT = 2
"""One person to learn from, one held out."""

GB = 1000**3


def _limitable(kind: str) -> str:
    if kind in ESSENTIAL:
        raise ValueError(f"{kind!r} can't be limited: without it this is no member's node; remove it")
    if kind not in LIMITABLE:
        raise ValueError(f"{kind!r} is no kind of message; there are {', '.join(LIMITABLE)}")
    return kind


Kind = Annotated[str, AfterValidator(_limitable)]
"""A message that may be limited, by its word."""


class RateRules(Settings):
    """How much may leave. A key that is absent limits nothing; 0 lets nothing out."""

    messages_per_hour: int | None = Field(default=None, ge=0)
    messages_per_day: int | None = Field(default=None, ge=0)
    bytes_per_hour: int | None = Field(default=None, ge=0)
    bytes_per_day: int | None = Field(default=None, ge=0)


class KindRules(RateRules):
    """How much of one kind may leave; `largest_bytes`: of one message, with what is beside it."""

    largest_bytes: int | None = Field(default=None, ge=0)


class LeavingRules(RateRules):
    """What may leave this node for the hub. Hours and days are the last 60 minutes and the last 24 hours.

    kinds: the kinds of messages that may leave, beside those that no node can do without. The rates hold for all of
    these kinds together, those under `[leaving.kind.NAME]` for that one.
    """

    kinds: tuple[Kind, ...] = LIMITABLE
    messages_per_hour: int | None = Field(default=6_000, ge=0)
    messages_per_day: int | None = Field(default=60_000, ge=0)
    bytes_per_hour: int | None = Field(default=50 * GB, ge=0)
    bytes_per_day: int | None = Field(default=300 * GB, ge=0)
    kind: dict[Kind, KindRules] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_measured(self) -> Self:
        if self.of("engine-traffic").largest_bytes is not None:
            raise ValueError("engine-traffic has no size of one message; limit its bytes_per_hour instead")
        return self

    def of(self, kind: str) -> KindRules:
        """The rules of one kind; none where there are none."""
        return self.kind.get(kind, KindRules())


class CohortRules(Settings):
    """How few people are too few. smallest_told: the least number of people of which anything is told; it counts
    beside `cohort.smallest_told` of node.toml, and the larger of the two holds. smallest_trained_on: the least number
    of people in a cohort that is approved, or worked on.
    """

    smallest_told: int = Field(default=SMALLEST_TOLD, ge=SMALLEST_TOLD, le=100_000)
    smallest_trained_on: int = Field(default=SMALLEST_COHORT, ge=SMALLEST_COHORT, le=10_000_000)


class ProjectRules(Settings):
    """Which projects may be approved, and worked for. Lists: absent allows any, empty allows none.

    packages: model packages by name. package_digests: by SHA-256 of the package (packages aren't signed, so there are
    no signers to name). own_code: those that bring code and may run it here, in a jail, by SHA-256 too, whether it is
    the Python of a network or a program that reads images; absent is none. algorithms: of federated learning, and the
    rules by which a plan's `robust` puts updates together; both of a project have to be named. article_6 and
    article_9: grounds of the GDPR, as in `6-1-e` and `9-2-j`. data_uses: codes of the GA4GH Data Use Ontology; every
    code of a project has to be one of them. longest_days: from the day of the approval to the last day of use.
    most_runs: of one project here. most_rounds: of one run. most_local_steps: optimiser steps of one round, where a
    project says how many. compare_alone: whether a model that was trained on this hospital's patients alone may leave.
    """

    packages: tuple[PackageName, ...] | None = None
    package_digests: tuple[Digest, ...] | None = None
    own_code: tuple[Digest, ...] = ()
    algorithms: tuple[Literal[AlgorithmName, RobustName], ...] | None = None
    article_6: tuple[Article6, ...] | None = None
    article_9: tuple[Article9, ...] | None = None
    data_uses: tuple[DuoCode, ...] | None = None
    longest_days: int = Field(default=1830, ge=0, le=36_500)
    most_runs: int = Field(default=100, ge=0, le=1_000_000)
    most_rounds: int = Field(default=1000, ge=0, le=1_000_000)
    most_local_steps: int = Field(default=100_000, ge=0, le=1_000_000_000)
    compare_alone: bool = True


class PrivacyRules(Settings):
    """What this node does to an update at least before it leaves, whatever a project asks; absent asks for nothing.

    largest_clip_norm: the norm that an update is cut to, at most. least_noise: the noise multiplier, at least. Both as
    `wardround.contracts.privacy` has them. Noise needs a norm: from here, from the project or from its approval's
    limits; without one the project is refused. Where updates are cut, no model that was trained here alone leaves.
    largest_epsilon, largest_delta: a project's budget for what it may tell of any one patient, at most, as
    `wardround.contracts.patient_privacy` has it; a project without one is refused. steps: what has to be done to every
    update before it leaves (`wardround.contracts.steps`), however much of it; a project without one of them is refused.
    """

    largest_clip_norm: float | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)
    least_noise: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    largest_epsilon: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    largest_delta: float | None = Field(default=None, gt=0, le=1e-2, allow_inf_nan=False)
    steps: tuple[Chosen, ...] = ()


class WorkRules(Settings):
    """When and how hard this node works for projects.

    hours: as `20:00-06:00`, several with commas, empty for any time, in `time_zone` (IANA name; empty for this
    machine's). threads: processor cores, at most; the smaller of this and `learning.threads` of node.toml holds. nice:
    how far learning steps behind other programs, 0 to 19, from the node's next start on. most_runs_at_once: of all
    projects together. jail_memory_gb, jail_minutes: what one call of a package's own Python may take at most.
    """

    hours: str = ""
    time_zone: str = ""
    threads: int | None = Field(default=None, ge=1, le=256)
    nice: int = Field(default=5, ge=0, le=19)
    most_runs_at_once: int = Field(default=4, ge=0, le=1000)
    jail_memory_gb: float = Field(default=4, gt=0, le=10_000)
    jail_minutes: float = Field(default=60, gt=0, le=10_000)

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        self.when  # noqa: B018 - it is parsed to see whether it can be
        return self

    @property
    def when(self) -> Hours:
        """Raises `ValueError` where the hours or the time zone can't be understood."""
        return Hours.parse(self.hours, self.time_zone)


class Policy(Settings):
    """What one hospital allows; without a file, what every hospital does."""

    leaving: LeavingRules = LeavingRules()
    cohort: CohortRules = CohortRules()
    projects: ProjectRules = ProjectRules()
    privacy: PrivacyRules = PrivacyRules()
    work: WorkRules = WorkRules()

    def document(self) -> dict[str, Any]:
        """All rules as plain values, those by default too."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the rules as canonical JSON (RFC 8785): comments and order don't count."""
        return sha256(rfc8785.dumps(self.document())).hexdigest()
