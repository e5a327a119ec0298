"""What was judged while Dice was all there was is a Dice still, at the hub and at the hospital, and back again."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, select, text

from wardround.foundation.database import WRITES, Database
from wardround.node.training.tables import Judgement, RoundDone

ROUND = (
    "INSERT INTO rounds_done (run, round, digest, entry, steps, loss, dice, done_at) "
    "VALUES ('r-1', 1, 'd', 4, 30, 0.5, 0.75, '2026-03-02 09:00:00')"
)
JUDGED = (
    "INSERT INTO judgements (run, label, model, dice, training, judged_at) "
    "VALUES ('r-1', 'federated', 'm', '{\"WP-A\": 0.5, \"WP-B\": 0.25}', 9, '2026-03-02 09:00:00')"
)


def configured(connection: Connection) -> Config:
    spec = find_spec("wardround.node.migrations")
    assert spec is not None and spec.submodule_search_locations
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
    config.attributes["connection"] = connection
    return config


def test_each_patients_dice_is_their_outcome(database_url: str) -> None:
    database = Database(database_url, migrations="wardround.node.migrations")
    with database.engine.connect().execution_options(**{WRITES: True}) as connection:
        command.upgrade(configured(connection), "0015")
        connection.execute(text(ROUND))
        connection.exec_driver_sql(JUDGED)
        connection.commit()
    database.upgrade()
    with database.reading() as session:
        done, judged = session.scalars(select(RoundDone)).one(), session.scalars(select(Judgement)).one()
        assert (done.metric, done.score) == ("dice", 0.75)
        assert (judged.metric, judged.outcomes) == ("dice", {"WP-A": [0.5], "WP-B": [0.25]})
    with database.engine.connect().execution_options(**{WRITES: True}) as connection:
        command.downgrade(configured(connection), "0015")
        connection.commit()
        assert connection.execute(text("SELECT dice FROM rounds_done")).scalar() == 0.75
        assert connection.execute(text("SELECT CAST(dice AS VARCHAR) FROM judgements")).scalar() == (
            '{"WP-A": 0.5, "WP-B": 0.25}'
        )
    database.close()
