"""Changes of the enclave are noted for the health records, and don't pile up where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.federation_lab import eventually

from wardround.foundation.clock import now
from wardround.foundation.database import Database
from wardround.node.enclave.changes import changed, followed, forget_repeated, note
from wardround.node.home import MIGRATIONS, NodeHome
from wardround.node.records import service

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'


def waiting(database: Database) -> list[str]:
    with database.reading() as session:
        return [uid for _, uid in changed(session, 1000)]


def test_of_what_is_noted_again_and_again_the_newest_is_kept(database_url: str) -> None:
    database = Database(database_url, migrations=MIGRATIONS)
    database.upgrade()
    with database.writing() as session:
        for _ in range(5):
            note(session, ["1.1", "1.2"])
        note(session, ["1.1"])
    with database.reading() as session:
        begun = changed(session, 4)
    with database.writing() as session:
        forget_repeated(session)
    assert waiting(database) == ["1.2", "1.1"]
    # Whoever was following the earlier ones at that moment lets go of none that came after them.
    with database.writing() as session:
        followed(session, [number for number, _ in begun])
    assert waiting(database) == ["1.2", "1.1"]
    database.close()


def test_a_node_without_health_records_keeps_one_change_of_each_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "identity").mkdir()
    (tmp_path / "node.toml").write_text(NODE)
    monkeypatch.setattr(service, "FOLLOWED_EVERY", 0.02)
    home, moment = NodeHome(tmp_path), now()
    home.database.upgrade()
    records = service.HealthRecords(home, lambda: moment)
    records.start()
    try:
        for _ in range(10):
            with home.database.writing() as session:
                note(session, ["1.1", "1.2"])
        moment += service.REPEATED_FORGOTTEN_EVERY
        eventually(lambda: waiting(home.database) == ["1.1", "1.2"])
    finally:
        records.stop()
        home.close()
