"""What the hub answers to sites about projects."""

from __future__ import annotations

from wardround.contracts.ledger_entry import Approval, Refusal
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
        expected = Approval if message.approved else Refusal
        if (
            not isinstance(entry, expected)
            or entry.origin != caller.site
            or (entry.project, entry.project_digest) != (message.project, message.project_digest)
        ):
            raise NotAllowed("the ledger entry that the decision names isn't this decision", code="entry-differs")
        actions.take_decision(session, caller.site, message, at=caller.now())
    return Acknowledged()
