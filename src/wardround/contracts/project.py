"""A project: what a researcher asks of hospitals, exactly as a data controller reads and signs it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints

from wardround.contracts.base import Frozen, ProjectId
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.run_plan import RunPlan

PersonName = Annotated[str, StringConstraints(pattern=r"^[\w.@' -]{2,80}$")]
Line = Annotated[str, StringConstraints(min_length=3, max_length=400, pattern=r"^[^\x00-\x1f]*$")]


class Leaving(Frozen):
    """One kind of message that the project lets leave a node: how large at most, and how often."""

    kind: str
    largest_bytes: int = Field(ge=1)
    how_often: Line


class Project(Frozen):
    """The whole of what is asked. Its digest is what an approval signs, so any edit voids every approval."""

    id: ProjectId
    title: Line
    purpose: Line
    researcher: PersonName
    cohort: CohortQuestion
    plan: RunPlan
    leaves: tuple[Leaving, ...]
    ends: date
