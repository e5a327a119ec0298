"""The hub's audit: every write names its actor and leaves its row in the same transaction."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wardround.foundation.audit import AuditColumns
from wardround.foundation.clock import Clock, now
from wardround.hub.base import HubTable


class Audit(AuditColumns, HubTable):
    __tablename__ = "audit"


def record(session: Session, actor: str, verb: str, subject: str, detail: str = "", *, clock: Clock = now) -> None:
    """Add a row to the audit in the caller's transaction.

    Args:
        actor: `person:<name>`, `os:<account>`, `site:<name>`, `token:<name>` or `program`.
        verb: what was done, as one word or two joined by a hyphen.
        subject: what it was done to; a name, never a patient's identifier.
        detail: one line more, or nothing.
    """
    session.add(Audit(at=clock(), actor=actor, verb=verb, subject=subject, detail=detail))
