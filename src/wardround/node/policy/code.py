"""Whether what a model package brings to be run may run here at all."""

from __future__ import annotations

from wardround.learning.bundle import Bundle
from wardround.learning.finished import PROGRAM
from wardround.node.policy.rules import Policy
from wardround.node.policy.verdict import PolicyForbids


def brings_program(bundle: Bundle) -> bool:
    """Whether the model of a package is a program, and not a network that this node's own code runs."""
    return bool(bundle.network["_target_"] == PROGRAM)


def check_program(policy: Policy, digest: str) -> None:
    """Whether the policy names a program that reads images.

    Args:
        digest: of its package.

    Raises:
        PolicyForbids: `own-code-not-allowed`.
    """
    if digest not in policy.projects.own_code:
        raise PolicyForbids(
            f"model {digest[:12]} is a program, and policy.toml doesn't name it: under [projects] own_code stand the "
            f'digests of the code that somebody has looked at and that may run here, in a jail; add "{digest}" there',
            code="own-code-not-allowed",
        )
