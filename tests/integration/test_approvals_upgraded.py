"""A node that approved projects before keeps what it decided, froze and may have to prove; the hub what it heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

from wardround.foundation.database import WRITES, Database
from wardround.foundation.errors import NotAllowed
from wardround.hub.projects import queries as hub_projects
from wardround.hub.projects.tables import DecisionRow
from wardround.node.projects import queries
from wardround.node.projects.tables import ManifestRow

AT = {"at": "2026-03-02 09:00:00+00:00"}
NODE = (
    "INSERT INTO projects (id, document, digest, state, arrived_at, decided_by, decided_at, reason, approval, "
    "approval_index, manifest, manifest_index, told_at) VALUES "
    "('yes', '{}', 'd1', 'approved', :at, 'os:ig', :at, NULL, 'signed', 4, 'frozen', 5, :at), "
    "('no', '{}', 'd2', 'refused', :at, 'os:ig', :at, 'not-here', 'signed', 6, NULL, NULL, :at), "
    "('open', '{}', 'd3', 'waiting', :at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    'INSERT INTO manifest_studies (project, project_digest, patient, study, "case", salt) VALUES '
    "('yes', 'd1', 'WR-A', '1', '{}', 'salt'), ('open', 'd0', 'WR-A', '1', '{}', 'of an edition that fell')",
)
HUB = (
    "INSERT INTO projects (id, document, digest, state, created_by, created_at) "
    "VALUES ('yes', '{}', 'd1', 'submitted', 'os:r', :at)",
    "INSERT INTO project_decisions (project, site, project_digest, approved, entry, about, decided_at) "
    "VALUES ('yes', 'north', 'd1', true, 4, NULL, :at), ('yes', 'south', 'd1', false, 4, NULL, :at)",
)


def at_revision(database: Database, migrations: str, revision: str, rows: Sequence[str] = ()) -> None:
    spec = find_spec(migrations)
    assert spec is not None and spec.submodule_search_locations
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
    with database.engine.connect().execution_options(**{WRITES: True}) as connection:
        config.attributes["connection"] = connection
        move: Callable[[Config, str], None] = command.downgrade if revision.startswith("-") else command.upgrade
        move(config, revision.lstrip("-"))
        for row in rows:
            connection.execute(text(row), AT)
        connection.commit()


def test_a_nodes_decisions_stay(database_url: str) -> None:
    migrations = "wardround.node.migrations"
    database = Database(database_url, migrations=migrations)
    at_revision(database, migrations, "0011", NODE)
    database.upgrade()
    with database.reading() as session:
        yes, no, open_ = (queries.decision_of(session, queries.row_of(session, name)) for name in ("yes", "no", "open"))
        assert yes is not None and no is not None
        assert (yes.approved, yes.project_digest, yes.entry_index, yes.manifest_index) == (True, "d1", 4, 5)
        assert (no.approved, no.reason, no.decided_by) == (False, "not-here", "os:ig")
        assert open_ is None
        [kept] = session.scalars(select(ManifestRow))
        assert (kept.project, kept.decision, kept.study) == ("yes", yes.id, "1")
        with pytest.raises(NotAllowed, match="by an earlier version and can't be read any more"):
            queries.project_of(queries.row_of(session, "yes"))
    at_revision(database, migrations, "-0011")
    with database.engine.connect() as connection:
        states = connection.execute(text("SELECT id, state, approval_index FROM projects ORDER BY id")).all()
        [study] = connection.execute(text("SELECT project_digest FROM manifest_studies")).all()
    assert states == [("no", "refused", 6), ("open", "waiting", None), ("yes", "approved", 4)]
    assert study == ("d1",)
    database.close()


def test_what_the_hub_heard_stays(database_url: str) -> None:
    migrations = "wardround.hub.migrations"
    database = Database(database_url, migrations=migrations)
    at_revision(database, migrations, "0004", HUB)
    database.upgrade()
    with database.reading() as session:
        found = {row.site: row.answer for row in session.scalars(select(DecisionRow))}
        assert found == {"north": "approved", "south": "refused"}
        with pytest.raises(NotAllowed, match="by an earlier version and can't be read any more"):
            hub_projects.project_of(session, "yes")
    database.close()
