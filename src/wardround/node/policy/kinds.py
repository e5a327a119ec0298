"""Which messages a policy may limit, and which a node can't do without."""

from __future__ import annotations

from wardround.contracts.limits import LIMITS

ESSENTIAL = frozenset(
    {
        "join-request",
        "certificate-renewal",
        "task-poll",
        "task-report",
        "ledger-submission",
        "mirror-request",
        "witness-cosignature",
        "project-decision",
        "job-refused",
    }
)
"""What keeps a node a member, tells that it did or refused something, and keeps the ledger. Without one of these a node
would be deaf, or its work would stay off the record, so a policy can't hold them back. None holds anything computed
from images or records but the counts of manifests and decisions, which are told as all counts are."""

LIMITABLE = tuple(sorted({str(kind.model_fields["kind"].default) for kind in LIMITS} - ESSENTIAL))
"""The others. A kind that a later version adds is one of these, and leaves only where a policy names it."""

WORK_KINDS = ("engine-traffic", "run-update")
"""What has to leave for a run to be of any use."""

MASKED_WORK_KINDS = (*WORK_KINDS, "masking-message")
"""As `WORK_KINDS`, where updates are masked."""
