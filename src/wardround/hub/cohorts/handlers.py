"""What the hub answers to sites about cohort questions."""

from __future__ import annotations

from wardround.contracts.outbound import Acknowledged, CohortAnswer
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.cohorts import actions
from wardround.hub.projects.actions import take_count


def register(exchange: Exchange) -> None:
    exchange.register(CohortAnswer)(_answer)


def _answer(caller: Caller, message: CohortAnswer, _attachment: bytes) -> Acknowledged:
    with caller.database.writing() as session:
        asked = actions.take_answer(session, caller.site, message, at=caller.now())
        if asked.project is not None:
            take_count(session, caller.site, asked.project, message, at=caller.now())
    return Acknowledged()
