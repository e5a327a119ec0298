"""Before the enclave is full there is an alarm, and when it is nothing more is taken in, in words with the mend."""

from __future__ import annotations

import logging
import shutil
from collections import namedtuple
from datetime import timedelta

import pytest
from pydantic import ValidationError
from tests.front_door import EVERYONE, FrontDoor

from wardround.node.enclave import room as rooms
from wardround.node.enclave.purge import Scope, order_purge
from wardround.node.enclave.room import GIGABYTE, RoomWatch, room, used_bytes
from wardround.node.enclave.upkeep import Upkeep
from wardround.node.settings import EnclaveSettings

Disk = namedtuple("Disk", "total used free")


def codes(door: FrontDoor, **settings: float) -> list[tuple[str, bool]]:
    with door.database.reading() as session:
        seen = room(session, door.objects.root, EnclaveSettings(**settings))
    return [(alarm.code, alarm.stops) for alarm in seen.alarms]


def test_the_quota_warns_and_then_stops(door: FrontDoor) -> None:
    with door.database.reading() as session:
        used = used_bytes(session) / GIGABYTE
    assert used == sum(path.stat().st_size for path in door.objects.root.rglob("*") if path.is_file()) / GIGABYTE
    assert codes(door, reserve_gb=0) == []
    assert codes(door, reserve_gb=0, quota_gb=used * 2) == []
    assert codes(door, reserve_gb=0, quota_gb=used * 1.1) == [("enclave-near-quota", False)]
    assert codes(door, reserve_gb=0, quota_gb=used) == [("enclave-over-quota", True)]


def test_the_disk_warns_and_then_stops(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(100 * GIGABYTE, 0, 5 * GIGABYTE))
    assert codes(door, reserve_gb=2) == []
    assert codes(door, reserve_gb=4.5) == [("enclave-near-reserve", False)]
    assert codes(door, reserve_gb=6) == [("enclave-below-reserve", True)]


def test_the_reason_says_what_and_the_mend(door: FrontDoor) -> None:
    watch = RoomWatch(door.database, door.objects.root, EnclaveSettings(quota_gb=1e-6, reserve_gb=0), clock=door.clock)
    refusal = watch.refusal()
    assert refusal is not None
    assert "quota_gb in node.toml" in refusal.text and "research" in refusal.text
    with door.database.writing() as session:
        for ref in door.enclave.find(EVERYONE):
            order_purge(session, Scope("study", ref.study), door.purges, actor="person:ig", reason="r", at=door.clock())
    assert watch.refusal() == refusal, "asked for each image, it looks twice a minute"
    door.clock.time += timedelta(seconds=31)
    assert watch.refusal() is None


def test_upkeep_tells_an_alarm_once_and_when_it_is_over(door: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="wardround.node.enclave.upkeep")
    watch = RoomWatch(door.database, door.objects.root, EnclaveSettings(quota_gb=1e-6, reserve_gb=0), clock=door.clock)
    upkeep = Upkeep(door.database, door.objects, door.home / "volumes", watch, door.clock)
    assert upkeep.tick() == upkeep.tick() == 0
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    with door.database.writing() as session:
        for ref in door.enclave.find(EVERYONE):
            order_purge(session, Scope("study", ref.study), door.purges, actor="person:ig", reason="r", at=door.clock())
    door.clock.time += timedelta(days=36500)
    assert upkeep.tick() == 10
    assert caplog.records[-1].getMessage() == f"{rooms.OVER_QUOTA} is over"


@pytest.mark.parametrize("wrong", [{"quota_gb": 0}, {"warn_at": 1.5}, {"reserve_gb": -1}, {"volumes_gb": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        EnclaveSettings(**wrong)
