"""The closed list of what may leave a node, and what the hub answers to each.

A message not listed here can't be sent: `node.gateway` takes `Outbound` and nothing else. None holds an image, a
record, an identifier, a path or the text of an exception.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, model_validator

from wardround.contracts.base import Digest, Frozen, ProjectId, ReasonCode, RunId, SiteName
from wardround.contracts.disclosure import Count
from wardround.contracts.masking import MaskingStep
from wardround.contracts.metric import MetricName, Value, check_value
from wardround.contracts.task import AskId, Axis, ModelLabel, NumberedTask
from wardround.contracts.validation import Measure

Pem = Annotated[str, Field(min_length=1, max_length=16_384)]
LedgerLine = Annotated[str, Field(min_length=1, max_length=65_536)]

API = "1"
"""Version of this contract. A hub refuses another major version by name."""


class Reply(Frozen):
    """What the hub answers; some kinds carry an attachment of raw bytes beside it."""


class Acknowledged(Reply):
    """It is on disk at the hub."""


class TaskBatch(Reply):
    tasks: tuple[NumberedTask, ...]


class CertificateIssued(Reply):
    certificate: Pem


class Joined(Reply):
    """The site is a member: its certificate, the federation's name, and the hub's ledger verifier key."""

    site: SiteName
    federation: str
    certificate: Pem
    root: Pem
    api_host: str
    api_port: int
    ledger_verifier: str


class EntryAccepted(Reply):
    index: int = Field(ge=0)


class MirrorBatch(Reply):
    """Entries from `start` on, and the newest checkpoint as a signed note.

    `yours` is the newest one with a line of the caller's, where it is of more entries than the caller has: a witness
    that was put back from a backup so hears what it signed since.
    """

    start: int = Field(ge=0)
    entries: tuple[LedgerLine, ...]
    checkpoint: str
    yours: str | None = None


class ObjectFound(Reply):
    """The object's bytes are the attachment."""

    digest: Digest


class Message(Frozen):
    """Something that leaves the node. `reply` is the type of the hub's answer."""

    reply: ClassVar[type[Reply]] = Acknowledged


class JoinRequest(Message):
    """A one-time token's secret, a CSR (PKCS #10, RFC 2986) and the site's ledger verifier key (C2SP vkey)."""

    reply: ClassVar[type[Reply]] = Joined
    kind: Literal["join-request"] = "join-request"
    secret: str = Field(min_length=20, max_length=200)
    csr: Pem
    ledger_verifier: str = Field(max_length=400)
    version: str = Field(max_length=40)


class CertificateRenewal(Message):
    reply: ClassVar[type[Reply]] = CertificateIssued
    kind: Literal["certificate-renewal"] = "certificate-renewal"
    csr: Pem


class TaskPoll(Message):
    """Tasks numbered above `after`; the hub holds the call for up to `wait_seconds` where there is none."""

    reply: ClassVar[type[Reply]] = TaskBatch
    kind: Literal["task-poll"] = "task-poll"
    after: int = Field(ge=0)
    wait_seconds: float = Field(ge=0, le=60)
    version: str = Field(max_length=40)


class TaskReport(Message):
    """How a task ended here. A reason is a code of a closed vocabulary."""

    kind: Literal["task-report"] = "task-report"
    number: int = Field(ge=1)
    outcome: Literal["done", "refused", "failed"]
    reason: ReasonCode | None = None


class LedgerSubmission(Message):
    reply: ClassVar[type[Reply]] = EntryAccepted
    kind: Literal["ledger-submission"] = "ledger-submission"
    entry: LedgerLine


class MirrorRequest(Message):
    reply: ClassVar[type[Reply]] = MirrorBatch
    kind: Literal["mirror-request"] = "mirror-request"
    start: int = Field(ge=0)


class WitnessCosignature(Message):
    kind: Literal["witness-cosignature"] = "witness-cosignature"
    size: int = Field(ge=1)
    line: str = Field(max_length=1000)


class CohortPart(Frozen):
    """The people of one group of a breakdown. A group of which nothing may be told isn't named."""

    axis: Axis
    value: str = Field(pattern=r"^[\w .,&()/+-]{1,64}$")
    people: Count


class CohortAnswer(Message):
    """How many people a question found here. `question` is the SHA-256 of its canonical JSON."""

    kind: Literal["cohort-answer"] = "cohort-answer"
    ask: AskId = "0" * 16
    project: ProjectId | None = None
    question: Digest
    people: Count
    parts: Annotated[tuple[CohortPart, ...], Field(max_length=500)] = ()


Answered = Literal["approved", "refused", "withdrawn"]
"""What a hospital answered to a project."""


class ProjectDecision(Message):
    """The data controller's answer, which rests on a ledger entry that the site signed: an approval, a refusal or a
    withdrawal. The entry alone says the limits, the last day and the reason."""

    kind: Literal["project-decision"] = "project-decision"
    project: ProjectId
    project_digest: Digest
    answer: Answered
    entry: int = Field(ge=0)
    people: Count


def _possible(metrics: dict[MetricName, float]) -> dict[MetricName, float]:
    for name, value in metrics.items():
        check_value(name, value)
    return metrics


class RunUpdate(Message):
    """One site's contribution to one round. The engine carries it; the gateway checks and logs it first.

    `metrics` is how good the weights are that the round began with, on this site's held-out patients, where these can
    tell it; there is no key for a number of people.
    """

    kind: Literal["run-update"] = "run-update"
    project: ProjectId
    run: RunId
    round: int = Field(ge=1)
    digest: Digest
    entry: int = Field(ge=0)
    weight: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    metrics: Annotated[dict[MetricName, Value], Field(max_length=1), AfterValidator(_possible)]


class MaskingMessage(Message):
    """What a site tells in one step of a masked round, beside its masked update: public keys, shares that are sealed
    for other sites, a signature, or the shares that take the masks off the sum. The engine carries it; the gateway
    checks and logs it first. `digest` is the SHA-256 of what leaves."""

    kind: Literal["masking-message"] = "masking-message"
    project: ProjectId
    run: RunId
    round: int = Field(ge=1)
    step: MaskingStep
    digest: Digest


class LocalModel(Message):
    """The weights that this site trained alone, as the attachment (safetensors); or, of the model `statistics_of`, what
    this site's patients make the means and variances that its normalisation layers keep, with no step of training."""

    kind: Literal["local-model"] = "local-model"
    project: ProjectId
    run: RunId
    digest: Digest
    steps: int = Field(ge=0)
    statistics_of: Digest | None = None
    entry: int = Field(ge=0)

    @model_validator(mode="after")
    def _trained_or_not(self) -> LocalModel:
        if (self.steps == 0) != (self.statistics_of is not None):
            raise ValueError("a model was trained for a step at least, and statistics for none")
        return self


class EvaluationResult(Message):
    """How good a model is on this site's held-out patients, as one number; how many is told as any count is.

    `score` is None where these patients can't tell it, as where all are of one class. `membership`, where it was asked
    for, is how well the model betrays whom it was trained on: of pairs of a patient who was and one who wasn't, in how
    many per cent it does better on the first, in steps of five; 50 tells nothing.
    """

    kind: Literal["evaluation-result"] = "evaluation-result"
    project: ProjectId
    run: RunId
    model: Digest
    label: ModelLabel
    metric: MetricName
    score: Value | None
    patients: Count
    membership: int | None = Field(default=None, ge=0, le=100, multiple_of=5)
    entry: int = Field(ge=0)

    @model_validator(mode="after")
    def _of_the_metric(self) -> EvaluationResult:
        if self.score is not None:
            check_value(self.metric, self.score)
        return self


class Estimate(Frozen):
    """One measure over a site's own patients. `value` is told to two decimals; `people` are those whom it is over, of
    whom enough have to be there to be told. `error` is the standard error of what isn't a share."""

    value: float = Field(ge=0, le=1)
    error: float | None = Field(default=None, gt=0, le=1)
    people: Count

    @model_validator(mode="after")
    def _of_enough(self) -> Estimate:
        if self.people.about is None:
            raise ValueError("of too few people nothing is told, no measure either")
        return self


ToldGroup = Annotated[
    str, StringConstraints(pattern=r"^(sex (female|male|other)|age ([0-8]0-[0-8]9|90 and over))$", max_length=40)
]
"""A group of people that may be told of: whose words are the same at every site, and none of its own making."""


class EvidenceSummary(Message):
    """What a model's validation on this site's own patients shows as a whole, and by sex and age: no case. `plan` is
    the digest of the plan that was frozen before, the same at every site that follows it; `entry` is the evidence's
    place on the ledger. `groups` has a measure of all groups that sex or age tell apart, or of none."""

    kind: Literal["evidence-summary"] = "evidence-summary"
    model: Digest
    plan: Digest
    estimates: Annotated[dict[Measure, Estimate], Field(min_length=1, max_length=4)]
    groups: Annotated[dict[ToldGroup, dict[Measure, Estimate]], Field(max_length=16)] = {}
    entry: int = Field(ge=0)


class ObjectRequest(Message):
    """Asks for a model's bytes by their digest."""

    reply: ClassVar[type[Reply]] = ObjectFound
    kind: Literal["object-request"] = "object-request"
    digest: Digest


class JobRefused(Message):
    """The engine offered this site a job that its policy forbids (code of its own, a class not allowed)."""

    kind: Literal["job-refused"] = "job-refused"
    run: RunId | None
    reason: ReasonCode


class EngineTraffic(Message):
    """Bytes of the engine's own connection, carried through the gateway's relay; logged, never posted."""

    kind: Literal["engine-traffic"] = "engine-traffic"
    run: RunId


Outbound = Annotated[
    JoinRequest
    | CertificateRenewal
    | TaskPoll
    | TaskReport
    | LedgerSubmission
    | MirrorRequest
    | WitnessCosignature
    | CohortAnswer
    | ProjectDecision
    | RunUpdate
    | MaskingMessage
    | LocalModel
    | EvaluationResult
    | EvidenceSummary
    | ObjectRequest
    | JobRefused
    | EngineTraffic,
    Field(discriminator="kind"),
]
OUTBOUND: TypeAdapter[Outbound] = TypeAdapter(Outbound)


class Refusal(Frozen):
    """Why the hub refused: a code for programs, and a line for people that says the mend."""

    code: ReasonCode
    message: str
