"""A series that makes no volume is known by its cause before anybody asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE, FrontDoor, edited, studies

from wardround.node.enclave.case import CaseUnusable
from wardround.node.enclave.purge import Scope, order_purge
from wardround.node.enclave.tables import EnclaveTrial
from wardround.node.enclave.trial import Trials
from wardround.node.enclave.unusable import unusable


@pytest.fixture
def door(tmp_path: Path, database_url: str) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, url=database_url)
    yield made
    made.close()


def useless(door: FrontDoor) -> dict[str, int]:
    with door.database.reading() as session:
        return dict(unusable(session))


def test_a_hole_is_known_when_the_study_is_complete_and_gone_when_it_is_filled(door: FrontDoor) -> None:
    trials = Trials(door.database, door.objects, door.clock)
    slices = studies()[0].slices
    door.give(*slices[:1], *slices[2:])
    assert door.reception.settle(60)
    door.deidentification.tick()
    assert trials.tick() == 0, "the study isn't complete"
    door.complete()
    door.deidentification.close_studies()
    assert trials.tick() == 1
    [(code, count)] = useless(door).items()
    assert count == 1
    [ref] = door.enclave.find(EVERYONE)
    with pytest.raises(CaseUnusable) as refused:
        door.enclave.case(ref)
    assert refused.value.code == code, "what is told is what making the volume says"
    assert trials.tick() == 0, "it is tried once"
    door.give(slices[1])
    door.tick()
    assert trials.tick() == 1
    assert useless(door) == {}


def test_a_series_that_makes_a_volume_is_tried_and_nothing_is_kept_of_it(door: FrontDoor) -> None:
    door.give_study(studies()[0])
    door.give(*(edited(one, Modality="CR") for one in studies()[1].slices))
    door.tick()
    assert Trials(door.database, door.objects, door.clock).tick() == 1, "neither labels nor projections are tried"
    assert useless(door) == {}
    assert not (door.home / "enclave" / "volumes").exists()


def test_a_purge_takes_the_trial_with_it(door: FrontDoor) -> None:
    door.give_study(studies()[0])
    door.tick()
    Trials(door.database, door.objects, door.clock).tick()
    [ref] = door.enclave.find(EVERYONE)
    with door.database.writing() as session:
        order_purge(session, Scope("study", ref.study), door.purges, actor="person:ig", reason="r", at=door.clock())
    with door.database.reading() as session:
        assert list(session.scalars(select(EnclaveTrial))) == []
