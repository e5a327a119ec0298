"""The queue of tasks: numbers only grow, none is missed, and a site sees its own. On both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from wardround.contracts.outbound import TaskReport
from wardround.contracts.task import EndRun, NumberedTask
from wardround.foundation.clock import now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.hub.sites.tables import Site
from wardround.hub.tasks import queries
from wardround.hub.tasks.actions import enqueue, report
from wardround.hub.tasks.tables import QueuedTask

TASK = EndRun(project="p1", run="r1")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, migrations="wardround.hub.migrations")
    database.upgrade()
    with database.writing() as session:
        for name, state in (("north", "member"), ("south", "member"), ("gone", "revoked"), ("asked", "invited")):
            session.add(Site(name=name, state=state, invited_at=now()))
    yield database
    database.close()


def _ask(database: Database, site: str) -> int:
    with database.writing() as session:
        return enqueue(session, site, TASK)


def _after(database: Database, site: str, number: int) -> list[int]:
    with database.reading() as session:
        return [task.number for task in queries.after(session, site, number)]


def test_a_site_sees_its_own_tasks_above_the_number_it_names(database: Database) -> None:
    first, other, second = _ask(database, "north"), _ask(database, "south"), _ask(database, "north")
    assert first < second
    assert _after(database, "north", 0) == [first, second]
    assert _after(database, "north", first) == [second]
    assert _after(database, "south", 0) == [other]
    with database.reading() as session:
        assert queries.after(session, "south", 0) == (NumberedTask(number=other, task=TASK),)
        assert queries.waiting_sites(session, first) == {"north", "south"}
        assert queries.newest(session) == second


def test_only_members_are_asked_and_answered(database: Database) -> None:
    for site in ("gone", "asked"):
        with pytest.raises(NotAllowed, match="not a member"):
            _ask(database, site)
    with pytest.raises(NotFound):
        _ask(database, "nowhere")
    number = _ask(database, "north")
    with database.writing() as session:
        session.get_one(Site, "north").state = "revoked"
    assert _after(database, "north", number - 1) == []


def test_a_task_that_is_rolled_back_was_never_asked(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        enqueue(session, "north", TASK)
        raise ZeroDivisionError
    assert _after(database, "north", 0) == []


def test_the_first_report_stands_and_ends_the_task(database: Database) -> None:
    number = _ask(database, "north")
    with database.writing() as session:
        report(session, "north", TaskReport(number=number, outcome="refused", reason="not-approved"), now=now())
    with database.writing() as session:
        report(session, "north", TaskReport(number=number, outcome="done"), now=now())
    with database.reading() as session:
        task = session.get_one(QueuedTask, number)
        assert (task.state, task.reason) == ("refused", "not-approved")
    assert _after(database, "north", 0) == []


def test_a_site_cant_report_on_anothers_task(database: Database) -> None:
    number = _ask(database, "north")
    with pytest.raises(NotFound), database.writing() as session:
        report(session, "south", TaskReport(number=number, outcome="done"), now=now())
    assert _after(database, "north", 0) == [number]


def test_who_reads_while_others_queue_misses_nothing(database: Database) -> None:
    """Readers take the highest number seen as their place: a lower one must not become visible later."""
    writers = [threading.Thread(target=lambda: [_ask(database, "north") for _ in range(15)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while any(writer.is_alive() for writer in writers):
        seen += _after(database, "north", seen[-1] if seen else 0)
    for writer in writers:
        writer.join()
    while batch := _after(database, "north", seen[-1] if seen else 0):
        seen += batch
    assert seen == sorted(set(seen))
    with database.reading() as session:
        assert seen[-1] == queries.newest(session)
    assert len(seen) == 60
