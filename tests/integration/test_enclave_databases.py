"""What the enclave does with rows, on both databases that a node may stand on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.front_door import EVERYONE, FrontDoor, studies

from wardround.contracts.cohort_builder import imaging, patients
from wardround.node.enclave import listing
from wardround.node.enclave.holdings import holdings
from wardround.node.enclave.purge import Scope, finish_purges, order_purge, preview
from wardround.node.enclave.room import room
from wardround.node.enclave.verification import Verifier
from wardround.node.settings import EnclaveSettings


@pytest.fixture
def door(tmp_path: Path, database_url: str) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, url=database_url)
    for study in studies():
        made.give_study(study)
    made.tick()
    yield made
    made.close()


def test_a_purge_takes_what_it_said_and_leaves_the_rest_sound(door: FrontDoor) -> None:
    first, second = door.enclave.find(EVERYONE)
    with door.database.reading() as session:
        seen = preview(session, Scope("before", (door.clock() + timedelta(days=1)).isoformat()))
        assert (seen.studies, seen.instances) == (2, 10)
        assert preview(session, Scope("project", "none")).studies == 0
    with door.database.writing() as session:
        gone = order_purge(
            session, Scope("patient", first.pseudonym), door.purges, actor="person:ig", reason="r", at=door.clock()
        )
    done = finish_purges(
        door.database, door.objects, door.home / "v", at=door.clock() + timedelta(days=36500), settling=timedelta(0)
    )
    assert (gone.objects, done.removed, done.waiting) == (5, 5, 0)
    assert door.enclave.count(patients.with_(imaging(has_label=True)).question()) == 1
    assert door.enclave.case(second).label is not None
    found = Verifier(door.database, door.objects, door.home / "notes").run(fast=False, at=door.clock())
    assert found.sound and found.orphans == [] and found.objects == 5
    with door.database.reading() as session:
        here = holdings(session, room(session, door.objects.root, EnclaveSettings(reserve_gb=0)), 0)
    assert (here.modalities["MR"].instances, here.modalities["SEG"].studies) == (4, 1)
    assert here.room.used == sum(one.bytes for one in here.modalities.values())
    assert (here.unfinished, here.waiting, here.opted_out) == (0, 0, 0)


def test_studies_are_listed_for_people_with_what_is_drawn_on_them(door: FrontDoor) -> None:
    with door.database.reading() as session:
        lines, count = listing.found(session, listing.Wanted(labelled="yes"), 1)
        [row, *_] = lines
        study, series = listing.study(session, row.uid)
        assert (count, row.modalities, row.series, row.objects, row.labels) == (2, ("MR",), 1, 4, 1)
        assert (study.pseudonym, [(one.objects, len(one.labels)) for one in series]) == (row.pseudonym, [(4, 1)])
        assert series[0].labels[0].is_reference and listing.modalities(session) == ["MR"]
        assert listing.found(session, listing.Wanted(labelled="no"), 1) == ([], 0)
        assert listing.found(session, listing.Wanted(project="none"), 1) == ([], 0)
