"""Offline validation on a hospital's own patients: what is frozen before anybody looks, and what was found.

Neither leaves the hospital. The ledger has the digest of what was found, which names the digest of what was frozen.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from wardround.contracts.base import Digest, Frozen
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.run_plan import PackageName

Measure = Literal["sensitivity", "specificity", "auc", "dice"]
"""What a plan may ask a least value of."""

Axis = Literal["sex", "age", "ethnicity", "scanner", "protocol"]
"""By what patients are told apart in subgroups. `scanner` is maker and model, `protocol` how it was set."""

Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
GroupName = Annotated[str, StringConstraints(min_length=1, max_length=140)]


class ValidationPlan(Frozen):
    """What is fixed before the first patient is looked at.

    `model` is the digest of the package, `package` its name. `threshold` is the score from which a case counts as
    flagged: millilitres that were outlined, or a probability. `least` has for some measures the value that the lower
    bound of the 95 % interval has to reach; a model that misses one of them opens no stage. Below `fewest` patients
    nothing is shown.
    """

    protocol: Literal["own-cohort/1"] = "own-cohort/1"
    model: Digest
    package: PackageName
    cohort: CohortQuestion
    threshold: Finite
    least: dict[Measure, Share] = {}
    fewest: int = Field(default=20, ge=1, le=1_000_000)


class JudgedCase(Frozen):
    """One patient. `score` is what the model said, `positive` whether the finding is there; of an outline also its Dice
    coefficient, and the distances of the surfaces in millimetres where both are there."""

    score: Finite
    positive: bool
    dice: Share | None = None
    average_mm: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    hd95_mm: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    groups: dict[Axis, GroupName] = {}


class LocalValidation(Frozen):
    """A model on all patients of a cohort of this hospital's own, under a frozen plan whose digest is `plan`.

    `cases` are by pseudonyms that this plan alone uses. `unusable` is how many patients of the frozen cohort gave
    nothing, by reason. `scores` says what a score is.
    """

    kind: Literal["local-validation"] = "local-validation"
    protocol: Literal["own-cohort/1"] = "own-cohort/1"
    plan: Digest
    model: Digest
    pathway: str
    scores: Literal["millilitres", "probability"]
    threshold: Finite
    least: dict[Measure, Share]
    fewest: int
    cases: dict[str, JudgedCase]
    unusable: dict[str, int]
