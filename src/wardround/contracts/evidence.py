"""Evidence records: what was found of a model at one hospital, by a frozen protocol. They stay there; the ledger has
their digests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from wardround.contracts.base import Digest, Frozen, Utc
from wardround.contracts.metric import MetricName
from wardround.contracts.validation import LocalValidation

Protocol = Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,40}/[1-9][0-9]{0,3}$")]
"""A protocol's name and edition. What a record means is fixed by it: a protocol that changes gets another edition."""


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
    """

    kind: Literal["shadow-use"] = "shadow-use"
    protocol: Protocol = "all-arrivals/1"
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


EvidenceRecord = Annotated[OfflineValidation | LocalValidation | ShadowUse, Field(discriminator="kind")]
RECORD: TypeAdapter[EvidenceRecord] = TypeAdapter(EvidenceRecord)
