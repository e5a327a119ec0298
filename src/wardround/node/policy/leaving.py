"""May a message leave, by its kind and size? How much left before is for `rates`."""

from __future__ import annotations

from wardround.contracts.outbound import Message
from wardround.foundation.errors import NotAllowed
from wardround.node.policy.file import PolicyFile, PolicyUnusable
from wardround.node.policy.kinds import ESSENTIAL
from wardround.node.policy.rules import Policy
from wardround.node.policy.terms import may_leave


class LeavingForbidden(NotAllowed):
    """The policy lets no such message leave, or not now; `code` says why."""

    code = "message-not-allowed"


def check_leaving(policy: Policy, kind: str, size: int) -> None:
    """Whether `policy` lets a message of `kind` leave, `size` bytes with what is beside it.

    Raises:
        LeavingForbidden: `message-not-allowed`, `message-too-large`.
    """
    if kind in ESSENTIAL:
        return
    if kind not in policy.leaving.kinds:
        raise LeavingForbidden(
            f"policy.toml, leaving.kinds: {kind} may not leave this hospital; a list that was written for an earlier "
            "version can't name what came since. If it may, add it there: wardround node policy set"
        )
    largest = policy.leaving.of(kind).largest_bytes
    if largest is not None and size > largest:
        raise LeavingForbidden(
            f"policy.toml, leaving.kind.{kind}.largest_bytes: it has {size:,} bytes; at most {largest:,} may leave",
            code="message-too-large",
        )


def can_leave(policy: Policy, kind: str, size: int) -> bool:
    """As `check_leaving`, to be asked before the work that would make the message."""
    try:
        check_leaving(policy, kind, size)
    except LeavingForbidden:
        return False
    return True


def why_not_leaving(file: PolicyFile, message: type[Message]) -> str | None:
    """The code of why no message of that type may leave now at all, to be asked before the work that makes one."""
    try:
        policy = file.current()
    except PolicyUnusable as unusable:
        return unusable.code
    return None if may_leave(policy, str(message.model_fields["kind"].default)) else LeavingForbidden.code
