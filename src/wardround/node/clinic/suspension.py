"""A person takes a model out of use: at once, whether the hub can be reached or not, and on the record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Suspension
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node import audit
from wardround.node.clinic.deployment import active
from wardround.node.clinic.states import ReadingState, check_transition
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.record.entries import SiteEntries

FEWEST_DIGITS = 8
_ENDS = {ReadingState.WAITING: ReadingState.NOT_READ, ReadingState.READ: ReadingState.WITHHELD}


@dataclass(frozen=True)
class Suspended:
    """What was taken out of use: (model, pathway) pairs, and how many studies are not read, or read and not told of."""

    models: tuple[tuple[str, str], ...]
    lines: int


def suspend(session: Session, target: str, reason: str, entries: SiteEntries, *, actor: str, at: datetime) -> Suspended:
    """Take a model out of use, or whatever is in use on a pathway. No reading of it begins from here on.

    What waits for it ends as not read, what was read and hasn't gone to the PACS is held back; the studies keep their
    place. The ledger's entry waits in this transaction for the hub.

    Args:
        target: a pathway's name, or a model's digest, of which the first 8 digits will do.
        reason: a code, which the ledger shows to all.

    Raises:
        NotFound: no such model or pathway is in use here.
        NotAllowed: the digits given fit more than one model.
    """
    chosen = in_use(session, target)
    for one in chosen:
        one.active = False
        one.suspended_at, one.suspended_by, one.suspended_for = at, actor, reason
        entry = Suspension(
            origin=entries.site, at=at, model=one.model, pathway=one.pathway, stage="suspended", reason=reason
        )
        entries.later(session, entry)
        audit.record(session, actor, "suspend-model", one.model, f"{one.pathway}: {reason}", clock=lambda: at)
    session.flush()
    return Suspended(tuple((one.model, one.pathway) for one in chosen), end_suspended(session))


def in_use(session: Session, target: str) -> list[Deployment]:
    """A model wherever it is in use, or whatever is in use on a pathway; at least one. Raises as `suspend`."""
    all_in_use = active(session)
    chosen = [one for one in all_in_use if one.pathway == target]
    if not chosen and len(target) >= FEWEST_DIGITS:
        chosen = [one for one in all_in_use if one.model.startswith(target)]
    if not chosen:
        there = ", ".join(f"{one.model[:12]} on {one.pathway}" for one in all_in_use) or "none"
        raise NotFound(f"no model or pathway {target} is in use here (in use: {there})")
    if len({one.model for one in chosen}) > 1:
        raise NotAllowed(f"{target} may be several of the models in use; give more of the digest")
    return chosen


def waiting_for_suspended() -> Select[WorklistLine, str | None]:
    """Lines of the worklist that wait for a model which was suspended, each with the reason."""
    return (
        select(WorklistLine, Deployment.suspended_for)
        .join(Deployment, Deployment.id == WorklistLine.deployment)
        .where(Deployment.suspended_at.is_not(None), WorklistLine.state.in_(list(_ENDS)))
    )


def end_suspended(session: Session) -> int:
    """End every such line; how many."""
    ended = session.execute(waiting_for_suspended()).all()
    for line, reason in ended:
        old = ReadingState(line.state)
        check_transition(old, _ENDS[old])
        line.state, line.reason = _ENDS[old], reason or ""
        audit.record(session, "program", "end-reading", line.study, f"{_ENDS[old]}: {reason}")
    return len(ended)
