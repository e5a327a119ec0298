"""Which messages a policy may limit, and which a node can't do without."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wardround.contracts.limits import LIMITS, Limit

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

CONTRACT: Mapping[str, Limit] = MappingProxyType(
    {kind.model_fields["kind"].default: limit for kind, limit in LIMITS.items()}
)
"""Every kind of message with the limits of its contract, which a policy can only lower."""

LIMITABLE = tuple(sorted(set(CONTRACT) - ESSENTIAL))
"""The others. A kind that a later version adds is one of these, and leaves only where a policy names it."""

WORK_KINDS = ("engine-traffic", "run-update")
"""What has to leave for a run to be of any use."""
