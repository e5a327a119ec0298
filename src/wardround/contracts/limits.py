"""How large each outbound message may be: the same numbers at the gateway that sends and the hub that takes."""

from __future__ import annotations

from dataclasses import dataclass

from wardround.contracts.outbound import (
    CertificateRenewal,
    CohortAnswer,
    EngineTraffic,
    EvaluationResult,
    EvidenceSummary,
    JobRefused,
    JoinRequest,
    LedgerSubmission,
    LocalModel,
    MaskingMessage,
    Message,
    MirrorRequest,
    ObjectRequest,
    ProjectDecision,
    RunUpdate,
    TaskPoll,
    TaskReport,
    WitnessCosignature,
)

KIB = 1024
GIB = 1024**3
LARGEST_ANSWER = 2 * GIB


@dataclass(frozen=True)
class Limit:
    """At most `header` bytes of JSON and `attachment` raw bytes beside it."""

    header: int
    attachment: int = 0


LIMITS: dict[type[Message], Limit] = {
    JoinRequest: Limit(32 * KIB),
    CertificateRenewal: Limit(32 * KIB),
    TaskPoll: Limit(KIB),
    TaskReport: Limit(KIB),
    LedgerSubmission: Limit(128 * KIB),
    MirrorRequest: Limit(KIB),
    WitnessCosignature: Limit(4 * KIB),
    CohortAnswer: Limit(96 * KIB),
    ProjectDecision: Limit(KIB),
    RunUpdate: Limit(64 * KIB, 2 * GIB),
    MaskingMessage: Limit(KIB, 1024 * KIB),
    LocalModel: Limit(KIB, 2 * GIB),
    EvaluationResult: Limit(2 * KIB),
    EvidenceSummary: Limit(2 * KIB),
    ObjectRequest: Limit(KIB),
    JobRefused: Limit(KIB),
    EngineTraffic: Limit(KIB, 2 * GIB),
}
"""Every outbound type has its line; a type without one can't be sent."""
