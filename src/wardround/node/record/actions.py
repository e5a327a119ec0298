"""What people do about the ledger at this node, each with its row in the audit."""

from __future__ import annotations

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.ledger.mirror import Mirror
from wardround.node import audit


def distrust(database: Database, mirror: Mirror, reason: str, *, actor: str, clock: Clock = now) -> None:
    """Stop all use of data that rests on the ledger, until :func:`trust`."""
    mirror.distrust(actor, reason, clock())
    with database.writing() as session:
        audit.record(session, actor, "distrust-ledger", "ledger", reason, clock=clock)


def trust(database: Database, mirror: Mirror, reason: str, *, actor: str, clock: Clock = now) -> str | None:
    """Let the mirror go on from what it had checked; why it had stopped, or None if it hadn't."""
    state = mirror.state()
    if state.forked is None:
        return None
    why = state.message or state.forked
    # The audit comes first: nothing is trusted again without the name of who said so.
    with database.writing() as session:
        audit.record(session, actor, "trust-ledger", "ledger", f"{reason}; it had stopped: {why}", clock=clock)
    mirror.resume(actor[:80], clock())
    return why
