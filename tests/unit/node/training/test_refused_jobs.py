"""A job that this site's policy forbids leaves its mark: in the audit here, and in a message to the hub."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import select
from tests.front_door import FrontDoor

from wardround.contracts.outbound import JobRefused
from wardround.federation.flare.site import JobRefusal
from wardround.node.audit import Audit
from wardround.node.link import outbox
from wardround.node.training.legs import Legs


def test_a_refused_job_is_on_the_record_here_and_told_to_the_hub(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    home = SimpleNamespace(
        database=door.database, settings=SimpleNamespace(largest_attachment=0), outbox=tmp_path / "outbox"
    )
    anything = cast(Any, None)
    legs = Legs(cast(Any, home), anything, anything, anything, on_join=lambda *_: None)
    legs.record_refusal("glioma-1", JobRefusal(job_id="of-the-engine", reason="custom-code"))
    with door.database.reading() as session:
        row = session.scalars(select(Audit).where(Audit.verb == "refuse-job")).one()
        waiting = [item.message for item in outbox.waiting(session)]
    assert (row.subject, row.detail) == ("glioma-1", "custom-code")
    assert waiting == [JobRefused(run="glioma-1", reason="custom-code")]
