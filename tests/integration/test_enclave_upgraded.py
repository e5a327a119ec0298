"""A node's database that holds studies already gets the enclave's newer columns, and keeps every row."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import func, select, text

from wardround.foundation.database import WRITES, Database
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclaveSeries, EnclaveStudy

ROWS = (
    "INSERT INTO enclave_patients (pseudonym, sex) VALUES ('WR-A', 'F')",
    "INSERT INTO enclave_studies (uid, pseudonym, statements) VALUES ('1', 'WR-A', '[]')",
    "INSERT INTO enclave_series (uid, study_uid, pseudonym) VALUES ('1.1', '1', 'WR-A')",
    "INSERT INTO enclave_instances (uid, series_uid, sop_class, digest, size, indexed_at)"
    " VALUES ('1.1.1', '1.1', '1.2', 'ab', 7, '2026-03-02 09:00:00')",
    "INSERT INTO enclave_labels (uid, pseudonym, labelled_series_uid, is_reference)"
    " VALUES ('1.1.1', 'WR-A', '1.1', true)",
)


def test_rows_of_before_stay_and_have_one_frame(database_url: str) -> None:
    database = Database(database_url, migrations="wardround.node.migrations")
    spec = find_spec("wardround.node.migrations")
    assert spec is not None and spec.submodule_search_locations
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
    with database.engine.connect().execution_options(**{WRITES: True}) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        for row in ROWS:
            connection.execute(text(row))
        connection.commit()
    database.upgrade()
    with database.reading() as session:
        [instance] = session.scalars(select(EnclaveInstance))
        assert (instance.frames, instance.number, instance.size) == (1, None, 7)
        for table in (EnclaveStudy, EnclaveSeries, EnclaveLabel):
            assert session.scalar(select(func.count()).select_from(table)) == 1
    database.close()
