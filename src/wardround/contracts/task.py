"""What the hub may ask of a node: a closed list of data. A node does a task only where its own rules allow."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, TypeAdapter

from wardround.contracts.base import Digest, Frozen, ProjectId, RunId
from wardround.contracts.cohort_query import LARGEST
from wardround.contracts.project import PersonName, Project


def _as_text(value: object) -> object:
    """A question that isn't written out yet, as JSON text."""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return json.dumps(value) if isinstance(value, dict) else value


AskId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""One asking of one question, at all sites."""

Axis = Literal["age", "sex", "year", "modality", "manufacturer"]
"""What an answer may be broken down by."""


ModelLabel = Annotated[str, StringConstraints(pattern=r"^(federated|personal|local:[a-z0-9-]+)$")]
"""What a judged model is: of a run's round; the site's own that goes with one; or what one site trained alone."""


class CountCohort(Frozen):
    """How many people here would the question find, in all and by each axis of `by`?

    `question` is the question's JSON text: a node reads it itself, and one that it can't read it refuses, without
    losing the tasks beside it. `asked_by` and `project` (none for a question that belongs to none) are what the hub
    says; a node's budget is kept by them.
    """

    kind: Literal["count-cohort"] = "count-cohort"
    ask: AskId = "0" * 16
    project: ProjectId | None = None
    asked_by: PersonName = "unnamed"
    question: Annotated[str, BeforeValidator(_as_text), StringConstraints(max_length=LARGEST)]
    by: Annotated[tuple[Axis, ...], Field(max_length=5)] = ()


class ConsiderProject(Frozen):
    """A project was submitted: show it to the data controller."""

    kind: Literal["consider-project"] = "consider-project"
    project: Project


class WithdrawProject(Frozen):
    """The project is over for everybody, as its researcher or the hub's operator says: use nothing for it any more."""

    kind: Literal["withdraw-project"] = "withdraw-project"
    project: ProjectId


class JoinLeg(Frozen):
    """Take part in a leg of a run: connect the engine's client to the hub's engine server."""

    kind: Literal["join-leg"] = "join-leg"
    project: ProjectId
    project_digest: Digest
    run: RunId
    leg: int = Field(ge=1)
    engine_host: str
    engine_port: int = Field(ge=1, le=65535)


class EndRun(Frozen):
    """The run is over: stop the engine's client and free what the run holds."""

    kind: Literal["end-run"] = "end-run"
    project: ProjectId
    run: RunId


class TrainAlone(Frozen):
    """Train the same model on this site's patients alone, for the steps that the run took here."""

    kind: Literal["train-alone"] = "train-alone"
    project: ProjectId
    project_digest: Digest
    run: RunId
    rounds: int = Field(ge=1)


class EstimateStatistics(Frozen):
    """Run a model over this site's training patients and tell the mean and variance of what enters each of its layers
    that keep such statistics; no weight is trained. `merge` is the number of the merge that the model is, from 1."""

    kind: Literal["estimate-statistics"] = "estimate-statistics"
    project: ProjectId
    project_digest: Digest
    run: RunId
    model: Digest
    merge: int = Field(ge=1, le=10_000)


class EvaluateModel(Frozen):
    """Judge a model on this site's held-out patients and tell the mean. `round` is the one whose aggregate it is: where
    a site has layers of its own, it lays those of that round over it. 0: of no round. Under the label `personal` the
    site judges the model of its own that goes with this one. With `membership` it tells, too, how well the model
    betrays whom of its patients it was trained on."""

    kind: Literal["evaluate-model"] = "evaluate-model"
    project: ProjectId
    project_digest: Digest
    run: RunId
    model: Digest
    label: ModelLabel
    round: int = Field(default=0, ge=0)
    membership: bool = False


class WitnessCheckpoint(Frozen):
    """The ledger grew to `size`: mirror it, check that it only grew, cosign."""

    kind: Literal["witness-checkpoint"] = "witness-checkpoint"
    size: int = Field(ge=1)


Task = Annotated[
    CountCohort
    | ConsiderProject
    | WithdrawProject
    | JoinLeg
    | EndRun
    | TrainAlone
    | EstimateStatistics
    | EvaluateModel
    | WitnessCheckpoint,
    Field(discriminator="kind"),
]
TASK: TypeAdapter[Task] = TypeAdapter(Task)


class NumberedTask(Frozen):
    """A task in a site's queue; numbers of one site only grow."""

    number: int = Field(ge=1)
    task: Task
