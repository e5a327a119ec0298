"""What the hub answers to a node that asks for tasks or reports on one."""

from __future__ import annotations

from wardround.contracts.outbound import Acknowledged, TaskPoll, TaskReport
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.tasks import actions
from wardround.hub.tasks.waiting import TaskWaits


def register(exchange: Exchange, waits: TaskWaits) -> None:
    exchange.register(TaskPoll)(waits.poll)
    exchange.register(TaskReport)(_report)


def _report(caller: Caller, message: TaskReport, _attachment: bytes) -> Acknowledged:
    with caller.database.writing() as session:
        actions.report(session, caller.site, message, now=caller.now())
    return Acknowledged()
