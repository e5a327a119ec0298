"""Evidence records: what was found of a model at one hospital, by a frozen protocol. They stay there; the ledger has
their digests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from wardround.contracts.base import Digest, Frozen, Utc
from wardround.contracts.metric import MetricName
from wardround.contracts.use_evidence import DelayOfUnflagged, OrderEffect, ReaderStudy, SecondReads
from wardround.contracts.validation import LocalValidation

Protocol = Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,40}/[1-9][0-9]{0,3}$")]
"""A protocol's name and edition. What a record means is fixed by it: a protocol that changes gets another edition."""


FourFold = tuple[
    Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]
]
"""Counts of studies: flagged with the finding and without it, unflagged with it and without it."""


class OfflineValidation(Frozen):
    """A model on the patients of a frozen cohort who were held out here from its training.

    `model` is the SHA-256 of its weights, `pathway` the package that they are of. `outcomes` are what `metric` needs of
    each patient, by the project's own pseudonyms (`learning.metrics.Outcome`).
    """

    kind: Literal["offline-validation"] = "offline-validation"
    protocol: Protocol = "held-out-patients/1"
    run: str
    label: str
    model: Digest
    pathway: str
    metric: MetricName
    outcomes: dict[str, tuple[float, ...]]


class ShadowUse(Frozen):
    """What a model did on a pathway in shadow use, over all studies that arrived from `since` until `until`.

    `model` is the digest of its package. `failed` has the number of studies without a result by reason; `out_of_scope`
    of them weren't of the kind that it reads. `flagged` are those in which it found something. Seconds are from the
    last image's arrival to the result's being there.

    `seen` is how many studies anybody read with the model's result before them: of shadow use none may be. `agreement`
    has the studies that a person read by themselves: flagged with and without a finding, unflagged with and without
    one. `adjudicated` the same against what was found to be so. `drift` is how far its scores are from those of the
    offline validation: Kolmogorov and Smirnov's distance, p of it, and the population stability index. Records of the
    first edition have none of these.
    """

    kind: Literal["shadow-use"] = "shadow-use"
    protocol: Protocol = "all-arrivals/2"
    model: Digest
    pathway: str
    since: Utc
    until: Utc
    studies: int = Field(ge=0)
    read: int = Field(ge=0)
    flagged: int = Field(ge=0)
    failed: dict[str, int]
    out_of_scope: int = Field(ge=0)
    seconds_p50: float | None = Field(ge=0, allow_inf_nan=False)
    seconds_p95: float | None = Field(ge=0, allow_inf_nan=False)
    seen: int | None = Field(default=None, ge=0)
    agreement: FourFold = (0, 0, 0, 0)
    adjudicated: FourFold = (0, 0, 0, 0)
    drift: tuple[float, float, float] | None = None


EvidenceRecord = Annotated[
    OfflineValidation | LocalValidation | ShadowUse | OrderEffect | DelayOfUnflagged | SecondReads | ReaderStudy,
    Field(discriminator="kind"),
]
RECORD: TypeAdapter[EvidenceRecord] = TypeAdapter(EvidenceRecord)
