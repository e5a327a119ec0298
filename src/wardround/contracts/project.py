"""A project: what a researcher asks of hospitals, exactly as a data controller reads and signs it."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from wardround.contracts.algorithm import Merge
from wardround.contracts.base import Frozen, ProjectId
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.data_use import PERMISSIONS, DataUse
from wardround.contracts.lawful_basis import LawfulBasis
from wardround.contracts.run_plan import RunPlan

PersonName = Annotated[str, StringConstraints(pattern=r"^[\w.@' -]{2,80}$")]
Line = Annotated[str, StringConstraints(min_length=3, max_length=400, pattern=r"^[^\x00-\x1f]*$")]

Part = Literal["researcher", "supervisor", "clinician", "statistician", "engineer", "sponsor"]
"""What somebody does in a project."""

LeavingKind = Literal["run-update", "local-model", "evaluation-result"]
"""The messages that rest on an approval. Counts, decisions and ledger entries have rules of their own."""

PER: dict[LeavingKind, str] = {"run-update": "round", "local-model": "run", "evaluation-result": "run"}
"""In what time a kind may leave as often as the project states."""


class ProjectPerson(Frozen):
    """Somebody who works on the project beside its researcher, and as what."""

    name: PersonName
    part: Part


class Leaving(Frozen):
    """One kind of message that the project lets leave a node: how large at most in bytes, with all that goes beside it,
    and how often at most in each round or run (`PER`). The very same message, sent again, counts once."""

    kind: LeavingKind
    largest_bytes: int = Field(ge=1, le=2**40)
    times: int = Field(ge=1, le=10_000)

    def in_words(self) -> str:
        return f"{self.kind}, at most {self.largest_bytes:,} bytes, at most {self.times} in each {PER[self.kind]}"


def _one_permission(terms: tuple[DataUse, ...]) -> tuple[DataUse, ...]:
    codes = [term.code for term in terms]
    if twice := [code for code, count in Counter(codes).items() if count > 1]:
        raise ValueError(f"{twice[0]} stands there twice; name each term once")
    if len(PERMISSIONS.intersection(codes)) != 1:
        raise ValueError(
            f"name exactly one data use permission ({', '.join(sorted(PERMISSIONS))}) and any number of modifiers"
        )
    return terms


def _each_once(people: tuple[ProjectPerson, ...]) -> tuple[ProjectPerson, ...]:
    if len({person.name for person in people}) < len(people):
        raise ValueError("somebody stands there twice; name each person once")
    return people


class Project(Frozen):
    """The whole of what is asked. Its digest is what an approval signs, so any edit voids every approval.

    `runs` is how many runs the hub may start under one approval; a run counts at a site once the site has begun to read
    its data for it. `ends` is the last day on which data may be used.
    """

    id: ProjectId
    title: Line
    purpose: Line
    researcher: PersonName
    people: Annotated[tuple[ProjectPerson, ...], Field(max_length=50), AfterValidator(_each_once)] = ()
    lawful_basis: LawfulBasis
    data_use: Annotated[tuple[DataUse, ...], Field(max_length=23), AfterValidator(_one_permission)]
    cohort: CohortQuestion
    plan: RunPlan
    runs: int = Field(default=1, ge=1, le=100)
    leaves: Annotated[tuple[Leaving, ...], Field(max_length=3)]
    ends: date

    @model_validator(mode="after")
    def _leaves_what_the_plan_needs(self) -> Project:
        told = Counter(leaving.kind for leaving in self.leaves)
        needed: set[LeavingKind] = {"evaluation-result"}
        if not isinstance(self.plan.algorithm, Merge):
            needed.add("run-update")
        if self.plan.compare_alone:
            needed.add("local-model")
        if missing := sorted(needed - set(told)):
            raise ValueError(f"`leaves` has no {missing[0]}, which the plan needs; say how large and how often")
        if extra := sorted(set(told) - needed):
            raise ValueError(f"`leaves` has {extra[0]}, which the plan has no use for; take it out")
        if twice := [kind for kind, count in told.items() if count > 1]:
            raise ValueError(f"`leaves` has {twice[0]} twice; name each kind once")
        return self

    def leaving(self, kind: LeavingKind) -> Leaving | None:
        return next((leaving for leaving in self.leaves if leaving.kind == kind), None)
