"""What the front door promises its senders."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from tests.front_door import FrontDoor, data_set, studies

from wardround.dicom.network_messages import RefusedStorage, StoreHeader
from wardround.foundation import database as database_module
from wardround.node.receive import registrar
from wardround.node.receive.landing import Answer
from wardround.node.receive.reception import Recovered
from wardround.node.receive.register import Register
from wardround.node.receive.state import State, WrongStep, check_step
from wardround.node.receive.summary import intake_summary


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def changed(part10: bytes, **values: object) -> bytes:
    """The object with other values of its attributes."""
    ds = pydicom.dcmread(BytesIO(part10))
    with pydicom.config.disable_value_validation():
        for keyword, value in values.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        out = BytesIO()
        ds.save_as(out)
    return out.getvalue()


def test_what_was_acknowledged_is_on_disk_as_it_came(door: FrontDoor) -> None:
    slices = studies()[0].slices
    assert door.give(*slices) == [Answer.STORED] * len(slices)
    assert door.quarantined_data_sets() == sorted(map(data_set, slices))
    assert all(file.stat().st_mode & 0o077 == 0 for file in door.quarantined())
    assert door.quarantine.stat().st_mode & 0o077 == 0


def test_the_same_instance_again_is_kept_once(door: FrontDoor) -> None:
    first = studies()[0].slices[0]
    assert door.give(first, first) == [Answer.STORED] * 2
    assert len(door.quarantined()) == 1
    assert intake_summary(door.database).instances == {"research": 1}
    door.tick()
    assert door.give(first) == [Answer.STORED]
    assert door.quarantined() == []
    assert door.enclave.totals().instances == 1


def test_another_file_meta_header_makes_no_other_instance(door: FrontDoor) -> None:
    first = studies()[0].slices[0]
    other = pydicom.dcmread(BytesIO(first))
    other.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    out = BytesIO()
    other.save_as(out)
    assert out.getvalue() != first
    assert door.give(first, out.getvalue()) == [Answer.STORED] * 2
    assert len(door.quarantined()) == 1


def test_a_pacs_may_send_the_same_object_to_both_titles_at_once(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, held = Register.write, threading.Event()

    def later(*arguments: object) -> None:
        held.wait(30)
        written(*arguments)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(Register, "write", later)
    first = studies()[0].slices[0]
    titles = ("RESEARCH", "CLINIC", "RESEARCH", "BOTH")
    assert [door.stream(first, called=title) for title in titles] == [Answer.STORED] * 4, "the index knows none yet"
    held.set()
    assert door.reception.settle(30)
    assert intake_summary(door.database).instances == {"research": 1, "clinic": 1}


def test_other_content_under_the_same_uid_is_kept_apart(door: FrontDoor) -> None:
    first = studies()[0].slices[0]
    other = changed(first, InstanceNumber=77)
    assert door.give(first, other, other) == [Answer.STORED, Answer.OTHER_CONTENT, Answer.OTHER_CONTENT]
    assert door.quarantined_data_sets() == sorted(map(data_set, [first, other]))
    assert intake_summary(door.database).refused == {"conflicting-content": 1}
    assert door.tick().deidentified == 1
    assert door.quarantined_data_sets() == [data_set(other)]


@pytest.mark.parametrize(
    ("data", "answer", "reason"),
    [
        (b"", Answer.NOT_UNDERSTOOD, "not-part10"),
        (b"GIF89a" * 100, Answer.NOT_UNDERSTOOD, "not-part10"),
        (bytes(128) + b"DICM" + b"\xff" * 400, Answer.NOT_UNDERSTOOD, "malformed"),
        (bytes(128) + b"DICM", Answer.NOT_UNDERSTOOD, "uid-missing"),
    ],
)
def test_what_is_no_dicom_is_counted_not_kept(door: FrontDoor, data: bytes, answer: Answer, reason: str) -> None:
    assert door.give(data, data) == [answer] * 2
    assert door.quarantined() == []
    assert intake_summary(door.database).refused == {reason: 1}


def test_an_instance_without_its_uids_is_not_taken(door: FrontDoor) -> None:
    first = studies()[0].slices[0]
    assert door.give(changed(first, StudyInstanceUID=None)) == [Answer.NOT_UNDERSTOOD]
    assert door.give(first, sop_uid="1.2.3") == [Answer.OTHER_INSTANCE]
    assert intake_summary(door.database).refused == {"uid-missing": 1, "uid-mismatch": 1}
    assert door.quarantined() == []


@pytest.mark.parametrize("uid", ["../../../escape", "/etc/passwd", "..", "a\\b", "1.2/../3"])
@pytest.mark.parametrize("called", ["RESEARCH", "CLINIC"])
def test_no_uid_of_the_sender_becomes_a_path(tmp_path: Path, uid: str, called: str) -> None:
    home = tmp_path / "a" / "b" / "home"
    home.mkdir(parents=True)
    door = FrontDoor(home)
    first = studies()[0].slices[0]
    door.give(changed(first, StudyInstanceUID=uid, SeriesInstanceUID=uid, SOPInstanceUID=uid), called=called)
    door.close()
    outside = [file for file in tmp_path.rglob("*") if file.is_file() and home not in file.parents]
    assert outside == []
    for root in (door.quarantine, door.clinical):
        for file in root.rglob("*"):
            hexadecimal = set(file.stem) <= set("0123456789abcdef")
            assert hexadecimal or file.name in ("incoming", ".lock"), "names are never the sender's"


def test_routes_decide_and_what_they_refuse_is_counted(door: FrontDoor) -> None:
    first, second = studies()
    assert set(door.give(*first.slices, called="BOTH")) == {Answer.STORED}
    assert set(door.give(*second.slices, called="CLINIC")) == {Answer.STORED}
    assert set(door.give(*second.slices, called="NOWHERE")) == {Answer.NOT_AUTHORISED}
    assert set(door.give(*second.slices, called="UNKNOWN")) == {Answer.NOT_AUTHORISED}
    summary = intake_summary(door.database)
    assert summary.studies == {"research": 1, "clinic": 2}
    assert summary.states["research"] == {"received": 4}
    assert summary.states["clinic"] == {"clinical": 8}
    assert summary.refused == {"not-routed": 4}


def test_below_its_reserve_nothing_is_taken(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path, reserve_bytes=1 << 60)
    assert door.give(studies()[0].slices[0]) == [Answer.NO_ROOM]
    assert door.quarantined() == []
    door.close()


def test_a_disk_that_fails_leaves_nothing_half_written(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    first = studies()[0].slices[0]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert door.give(first) == [Answer.NO_ROOM]
    assert door.quarantined() == []
    assert door.give(first) == [Answer.STORED]


def test_a_disk_that_fails_within_an_object_is_told_from_a_sender_that_does(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    header = StoreHeader("RESEARCH", "PACS", "1.2.840.10008.5.1.4.1.1.4", "1.2.3", "1.2.840.10008.1.2.1", "", 1)
    for failing in (True, False):
        incoming = door.reception.open(header)
        assert not isinstance(incoming, RefusedStorage)
        incoming.write(b"begun")
        if failing:
            with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
                patch.setattr(os, "write", fail)
                incoming.write(b"the rest")
        incoming.abandon()
    assert door.reception.settle(30)
    assert intake_summary(door.database).turned_away == {"disk-error": 1, "not-whole": 1}
    assert door.quarantined() == []


def test_who_comes_while_the_index_is_busy_waits_and_is_taken(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar, "MOST_WAITING", 2)
    written, held, writing = Register.write, threading.Event(), threading.Event()

    def later(*arguments: object) -> None:
        writing.set()
        held.wait(30)
        written(*arguments)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(Register, "write", later)
    first, second, third, _ = studies()[0].slices
    assert [door.stream(first), door.stream(second)] == [Answer.STORED] * 2
    assert writing.wait(30)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(door.stream, third)
        with pytest.raises(TimeoutError):
            waits.result(0.2)
        held.set()
        assert waits.result(30) is Answer.STORED
    assert door.reception.settle(30)
    assert intake_summary(door.database).turned_away == {}


def test_after_a_restart_the_same_content_is_known_and_another_is_told_apart(tmp_path: Path) -> None:
    first = studies()[0].slices[0]
    before = FrontDoor(tmp_path)
    assert before.stream(first) is Answer.STORED
    before.close()
    door = FrontDoor(tmp_path)
    assert door.stream(first) is Answer.STORED
    assert door.stream(changed(first, InstanceNumber=77)) is Answer.OTHER_CONTENT
    assert door.reception.settle(30)
    assert intake_summary(door.database).refused == {"conflicting-content": 1}
    assert intake_summary(door.database).states["research"] == {"received": 1, "refused": 1}
    door.close()


def test_an_index_that_is_locked_loses_nothing_and_stops_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0)
    door = FrontDoor(tmp_path, patience=0.2)
    other = sqlite3.connect(tmp_path / "node.db")
    other.execute("BEGIN IMMEDIATE")
    first, second, *_ = studies()[0].slices
    assert door.stream(first) is Answer.STORED, "it is on the disk; the index may follow"
    assert not door.reception.settle(0.3)
    assert door.stream(second) is Answer.NO_ROOM
    assert door.quarantined_data_sets() == [data_set(first)], "nothing of the other one is there"
    other.rollback()
    other.close()
    assert door.reception.settle(30)
    summary = intake_summary(door.database)
    assert (summary.states, summary.turned_away) == ({"research": {"received": 1}}, {"index-behind": 1})
    assert door.stream(second) is Answer.STORED
    door.close()


def test_what_had_landed_before_a_crash_is_registered_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object) -> None:
        raise OSError("the disk is away")

    first, second, third, fourth = studies()[0].slices
    crashed = FrontDoor(tmp_path)
    assert crashed.give(first) == [Answer.STORED]
    with monkeypatch.context() as patch:
        patch.setattr(Register, "write", never)
        assert [crashed.stream(part10) for part10 in (first, second, third)] == [Answer.STORED] * 3
        crashed.reception.quay._registrar.close(0)
    half, truncated = sorted(file for file in crashed.quarantined() if "incoming" in file.parts)[:2]
    bay = half.parent
    (bay / "half").write_bytes(half.read_bytes()[:-1])
    changed = bytearray(truncated.read_bytes())
    changed[-1] ^= 1
    (bay / "changed").write_bytes(changed)
    claimed = bytearray(truncated.read_bytes())
    claimed[40] ^= 1
    (bay / "sealed-otherwise").write_bytes(claimed)
    from_another = truncated.read_bytes().replace(b"RESEARCH", b"RESEARCX")
    assert from_another != truncated.read_bytes()
    (bay / "of-another-title").write_bytes(from_another)
    (bay / "unsealed").write_bytes(bytes(128) + fourth[128:])
    os.close(crashed.reception.quay._bay._lock)
    crashed.close_databases()

    door = FrontDoor(tmp_path)
    assert door.reception.recover() == Recovered(registered=3, removed=5)
    assert door.quarantined_data_sets() == sorted(map(data_set, (first, second, third)))
    assert intake_summary(door.database).states == {"research": {"received": 3}}
    assert not bay.exists()
    door.close()


def test_recovery_beside_a_living_process_leaves_its_objects_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = FrontDoor(tmp_path)
    index = living.reception.index
    written = index.write
    held = threading.Event()

    def later(*arguments: Any) -> None:
        held.wait(30)
        written(*arguments)

    monkeypatch.setattr(index, "write", later)
    slices = studies()[0].slices
    assert {living.stream(part10) for part10 in slices} == {Answer.STORED}
    beside = FrontDoor(tmp_path)
    assert beside.reception.recover() == Recovered(0, 0)
    held.set()
    assert living.reception.settle(30)
    assert beside.reception.recover() == Recovered(0, 0)
    assert beside.quarantined_data_sets() == sorted(map(data_set, slices))
    beside.close()
    living.close()


def test_many_senders_of_the_same_instance_store_it_once(door: FrontDoor) -> None:
    slices = studies()[0].slices
    with ThreadPoolExecutor(8) as pool:
        answers = [answer for given in pool.map(lambda _: door.give(*slices), range(8)) for answer in given]
    assert set(answers) == {Answer.STORED}
    assert door.quarantined_data_sets() == sorted(map(data_set, slices))


def test_of_many_contents_under_one_uid_one_is_stored(door: FrontDoor) -> None:
    contents = [changed(studies()[0].slices[0], InstanceNumber=number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = [given[0] for given in pool.map(door.give, contents)]
    assert sorted(answers) == [Answer.STORED] + [Answer.OTHER_CONTENT] * 5
    assert intake_summary(door.database).states["research"] == {"received": 1, "refused": 5}


def test_recovery_removes_what_was_never_acknowledged(door: FrontDoor) -> None:
    slices = studies()[0].slices
    door.give(*slices, called="BOTH")
    (door.quarantine / f".{'0' * 32}.dcm.abcd").write_bytes(b"half")
    (door.quarantine / f"{'0' * 32}.dcm").write_bytes(slices[0])
    (door.clinical / ("1" * 32)).mkdir()
    (door.clinical / ("1" * 32) / f"{'0' * 32}.dcm").write_bytes(slices[0])
    assert door.reception.recover() == Recovered(0, 3)
    assert door.quarantined_data_sets() == sorted(map(data_set, slices))
    assert len([file for file in door.clinical.rglob("*") if file.is_file()]) == len(slices)


@pytest.mark.parametrize("noticed", [False, True])
def test_a_lost_file_comes_back_when_it_is_sent_again(door: FrontDoor, noticed: bool) -> None:
    first = studies()[0].slices[0]
    door.give(first)
    door.quarantined()[0].unlink()
    if noticed:
        assert door.tick().refused == {"file-missing": 1}
    assert door.give(first) == [Answer.STORED]
    assert door.quarantined_data_sets() == [data_set(first)]
    assert door.tick().deidentified == 1


def test_a_refused_instance_may_be_replaced_by_a_better_one(door: FrontDoor) -> None:
    first = studies()[0].slices[0]
    door.give(changed(first, BurnedInAnnotation="YES"))
    assert door.tick().refused == {"burned-in-annotation": 1}
    assert door.give(first) == [Answer.STORED]
    assert door.tick().deidentified == 1


def test_states_go_forward_only() -> None:
    check_step(None, State.RECEIVED)
    check_step(State.RECEIVED, State.DEIDENTIFIED)
    for before, after in [
        (None, State.DEIDENTIFIED),
        (State.DEIDENTIFIED, State.RECEIVED),
        (State.REFUSED, State.DEIDENTIFIED),
        (State.CLINICAL, State.DEIDENTIFIED),
    ]:
        with pytest.raises(WrongStep):
            check_step(before, after)
