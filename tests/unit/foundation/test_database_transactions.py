"""A writing block is one transaction, alone; what was read stays usable. On both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from wardround.foundation.clock import now
from wardround.foundation.database import Database
from wardround.hub.sites.tables import Invite, Site
from wardround.hub.tasks.tables import TaskCounter

MIGRATIONS = "wardround.hub.migrations"
PATIENCE = 60


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url, migrations=MIGRATIONS)
    made.upgrade()
    yield made
    made.close()


def names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Site.name).order_by(Site.name)))


def add(database: Database, *sites: str) -> None:
    with database.writing() as session:
        for name in sites:
            session.add(Site(name=name, state="member", invited_at=now()))


def test_a_block_is_kept_whole_or_not_at_all(database: Database) -> None:
    add(database, "north", "south")
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        session.add(Site(name="west", state="member", invited_at=now()))
        session.flush()
        session.execute(update(Site).values(state="revoked"))
        raise ZeroDivisionError
    with database.reading() as session:
        rows = {(name, state) for name, state in session.execute(select(Site.name, Site.state))}
    assert rows == {("north", "member"), ("south", "member")}
    add(database, "west")
    assert names(database) == ["north", "south", "west"]


def test_what_the_tables_forbid_is_refused_and_leaves_nothing(database: Database) -> None:
    with pytest.raises(IntegrityError), database.writing() as session:
        session.add(Site(name="north", state="member", invited_at=now()))
        session.add(Invite(secret_digest="0" * 64, site="nowhere", made_at=now(), expires_at=now()))
    assert names(database) == []


def test_a_reader_sees_nothing_before_the_commit(database: Database) -> None:
    with database.writing() as session:
        session.add(Site(name="north", state="member", invited_at=now()))
        session.flush()
        assert names(database) == []
    assert names(database) == ["north"]


def test_rows_can_be_used_after_their_block(database: Database) -> None:
    with database.writing() as session:
        made = Site(name="north", state="member", invited_at=now())
        session.add(made)
    assert (made.name, made.joined_at) == ("north", None)
    with database.reading() as session:
        read = session.get_one(Site, "north")
    assert read.invited_at == made.invited_at
    assert read.invited_at.tzinfo is not None, "a moment comes back with its time zone"


def test_reading_writes_nothing(database: Database) -> None:
    with database.reading() as session:
        session.add(Site(name="north", state="member", invited_at=now()))
        session.flush()
    assert names(database) == []


def test_an_upgrade_of_what_is_there_changes_nothing(database: Database) -> None:
    add(database, "north")
    database.upgrade()
    assert names(database) == ["north"]


def count_up(database: Database, times: int) -> None:
    for _ in range(times):
        with database.writing() as session:
            # What is read first stays so until the commit: on SQLite by the lock of all writers, on PostgreSQL by
            # the row's.
            last = session.scalars(select(TaskCounter.last).with_for_update()).one()
            session.execute(update(TaskCounter).values(last=last + 1))


def total(database: Database) -> int:
    with database.reading() as session:
        return session.scalars(select(TaskCounter.last)).one()


def test_no_thread_loses_what_another_wrote(database: Database) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            count_up(database, 10)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not errors
    assert total(database) == 60


OTHER_PROCESS = """
import importlib.util, sys
from wardround.foundation.database import Database
spec = importlib.util.spec_from_file_location("counting", sys.argv[1])
counting = importlib.util.module_from_spec(spec)
spec.loader.exec_module(counting)
database = Database(sys.argv[2], migrations="wardround.hub.migrations")
counting.count_up(database, 15)
"""


def test_no_process_loses_what_another_wrote(database: Database, database_url: str) -> None:
    others = [subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, __file__, database_url]) for _ in range(2)]
    count_up(database, 15)
    assert [other.wait(PATIENCE) for other in others] == [0, 0]
    assert total(database) == 45


def test_sqlite_survives_a_power_cut_and_keeps_its_promises(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'd.db'}", migrations=MIGRATIONS)
    with database.reading() as session:
        asked = {name: session.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys")}
        synchronous = session.execute(text("PRAGMA synchronous")).scalar()
    database.close()
    assert asked == {"journal_mode": "wal", "foreign_keys": 1}
    assert synchronous == 2, "FULL: a commit is on disk when it returns"
