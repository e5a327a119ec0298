"""What the hub answers to sites about projects."""

from __future__ import annotations

from typing import TypeGuard

from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Approval, Entry, Refusal, Withdrawal
from wardround.contracts.outbound import Acknowledged, ProjectDecision
from wardround.foundation.errors import NotAllowed
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.projects import actions
from wardround.ledger import store


def register(exchange: Exchange) -> None:
    exchange.register(ProjectDecision)(_decision)


def _decision(caller: Caller, message: ProjectDecision, _attachment: bytes) -> Acknowledged:
    """The message counts only with the ledger entry that the site signed: the hub can't invent an approval."""
    with caller.database.writing() as session:
        entry = store.entry(session, message.entry)
        if not _says(entry, session, caller.site, message):
            raise NotAllowed("the ledger entry that the decision names isn't this decision", code="entry-differs")
        actions.take_decision(session, caller.site, message, entry, at=caller.now())
    return Acknowledged()


def _says(
    entry: Entry | None, session: Session, site: str, message: ProjectDecision
) -> TypeGuard[actions.DecisionEntry]:
    """Is the entry this site's, and does it say what the message says?"""
    expected = {"approved": Approval, "refused": Refusal, "withdrawn": Withdrawal}[message.answer]
    if not isinstance(entry, expected) or entry.origin != site or entry.project != message.project:
        return False
    # A withdrawal names the approval that it takes back, which names the edition; the ledger has checked whose it is.
    about = store.entry(session, entry.approval) if isinstance(entry, Withdrawal) else entry
    return isinstance(about, Approval | Refusal) and about.project_digest == message.project_digest
