"""Hub and node on PostgreSQL, by one setting each: a site joins, a task wakes it, what left is logged."""

from __future__ import annotations

from pathlib import Path
from queue import Queue

from tests import postgresql
from tests.federation_lab import PATIENCE, HubLab

from wardround.contracts.task import EndRun
from wardround.hub.sites import queries
from wardround.hub.tasks.tables import QueuedTask
from wardround.node.gateway.egress import totals
from wardround.node.gateway.gateway import Gateway
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import Link

TASK = EndRun(project="p1", run="r1")


def test_a_federation_on_postgresql(postgresql_server: Path, tmp_path: Path) -> None:
    lab = HubLab(tmp_path, database=postgresql.fresh_database(postgresql_server))
    lab.start()
    home = lab.node("north", database=postgresql.fresh_database(postgresql_server))
    assert not list(tmp_path.rglob("*.db"))
    seen: Queue[EndRun] = Queue()
    handlers = TaskHandlers()
    handlers.register(EndRun)(seen.put)
    link = Link(home, Gateway(home), handlers, poll_seconds=55)
    link.start()
    try:
        first = lab.ask("north", TASK)
        assert seen.get(timeout=PATIENCE) == TASK
        lab.ask("north", TASK)
        assert seen.get(timeout=PATIENCE) == TASK
    finally:
        link.stop()
        lab.stop()
    with lab.home.database.reading() as session:
        assert queries.members(session) == ["north"]
        assert session.get_one(QueuedTask, first).created_at.tzinfo is not None
    with home.database.reading() as session:
        assert {total.kind for total in totals(session)} >= {"join-request", "task-poll"}
    home.close()
    lab.home.close()
