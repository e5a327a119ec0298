"""The clinical path keeps studies and results for the days that were set, and no longer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from tests.front_door import FrontDoor, studies

from wardround.node.audit import Audit
from wardround.node.clinic.retention import Retention
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine

KEEP = timedelta(days=14)


def test_studies_and_results_go_after_their_days_and_not_before(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    door.give_study(studies(1)[0], called="CLINIC")
    door.complete()
    results = tmp_path / "results"
    results.mkdir()
    (results / "seg.dcm").write_bytes(b"result")
    with door.database.writing() as session:
        session.add(
            Deployment(
                id=1,
                model="0" * 64,
                package="p",
                pathway="p",
                stage="shadow",
                active=True,
                deployed_by="person:x",
                deployed_at=door.clock(),
            )
        )
        session.flush()
        session.add(
            WorklistLine(
                study="k",
                version=0,
                deployment=1,
                state=ReadingState.DELIVERED,
                arrived_at=door.clock(),
                result="seg.dcm",
            )
        )
    retention = Retention(door.database, door.clinical, results, KEEP, door.clock)
    files = list(door.clinical.rglob("*.dcm"))
    assert files

    door.clock.time += KEEP - timedelta(hours=2)
    assert retention.tick() == 0
    assert all(path.exists() for path in [*files, results / "seg.dcm"])

    door.clock.time += timedelta(hours=3)
    assert retention.tick() == 2
    assert not any(path.exists() for path in [*files, results / "seg.dcm"])
    with door.database.reading() as session:
        verbs = set(session.scalars(select(Audit.verb)))
    assert {"purge", "purge-results"} <= verbs
