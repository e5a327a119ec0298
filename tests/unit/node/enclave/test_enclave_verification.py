"""What is lost, damaged or named by nothing is found; a verification that was stopped goes on where it was."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE, FrontDoor, studies

from wardround.foundation.files import ASIDE, ObjectStore
from wardround.node.audit import Audit
from wardround.node.enclave.purge import Scope, finish_purges, order_purge
from wardround.node.enclave.verification import Verification, Verifier


def verifier(door: FrontDoor) -> Verifier:
    return Verifier(door.database, door.objects, door.home / "enclave" / "verification.json")


def test_an_enclave_that_is_whole_is_sound_and_nothing_is_changed(door: FrontDoor) -> None:
    before = {path: path.stat().st_mtime_ns for path in door.objects.root.rglob("*") if path.is_file()}
    found = verifier(door).run(fast=False, at=door.clock())
    assert found.sound and (found.objects, found.orphans, found.unnamed) == (10, [], 0)
    assert found.bytes == door.enclave.totals().bytes
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_each_kind_of_fault_is_found_and_says_whose_it_is(door: FrontDoor) -> None:
    missing, shorter, flipped, *_ = list(door.objects.digests())
    door.objects.path(missing).unlink()
    with door.objects.path(shorter).open("r+b") as file:
        file.truncate(200)
    with door.objects.path(flipped).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    stranger = door.objects.put(b"named by nothing")
    (door.objects.root / ASIDE / "0123").write_bytes(b"half")

    found = verifier(door).run(fast=False, at=door.clock())
    assert {fault.digest: fault.kind for fault in found.faults} == {
        missing: "missing",
        shorter: "damaged",
        flipped: "damaged",
    }
    uids = {ref.study for ref in door.enclave.find(EVERYONE)}
    assert all(set(fault.studies) <= uids and fault.studies and fault.instances == 1 for fault in found.faults)
    assert "backup" in found.faults[0].hint() and not found.sound
    assert [orphan.digest for orphan in found.orphans] == [stranger] and found.unnamed == 1

    quick = verifier(door).run(fast=True, at=door.clock())
    assert {fault.digest for fault in quick.faults} == {missing, shorter}, "a hash is what fast leaves out"


def test_a_stopped_verification_goes_on_and_forgets_nothing_that_it_found(door: FrontDoor) -> None:
    digests = list(door.objects.digests())
    door.objects.path(digests[0]).unlink()

    class Stop(BaseException):
        pass

    def stop(found: Verification) -> None:
        if found.done == 128:
            raise Stop

    with pytest.raises(Stop):
        verifier(door).run(fast=False, at=door.clock(), on_shard=stop)
    shards: list[int] = []
    found = verifier(door).run(fast=False, at=door.clock(), on_shard=lambda found: shards.append(found.done))
    assert shards == list(range(129, 257))
    assert found.objects == 10 and [fault.digest for fault in found.faults] == [digests[0]]
    assert verifier(door).unfinished(fast=False, at=door.clock()) is None
    shards.clear()
    verifier(door).run(fast=False, at=door.clock(), on_shard=lambda found: shards.append(found.done))
    assert len(shards) == 256, "a finished one begins anew"


def test_what_changes_meanwhile_is_no_fault(door: FrontDoor) -> None:
    """Objects come and studies are purged while a verification runs."""
    door.give(*studies(3)[2].slices)
    [victim, _] = door.enclave.find(EVERYONE)

    def meanwhile(found: Verification) -> None:
        if found.done == 1:
            door.tick()
        if found.done == 2:
            with door.database.writing() as session:
                order_purge(
                    session, Scope("study", victim.study), door.purges, actor="person:ig", reason="r", at=door.clock()
                )
            finish_purges(door.database, door.objects, door.home / "v", at=door.clock(), settling=-timedelta(36500))

    found = verifier(door).run(fast=False, at=door.clock(), on_shard=meanwhile)
    assert found.faults == []
    assert found.waiting == 0 and found.orphans == []


def test_what_was_mended_before_the_end_is_no_fault(door: FrontDoor) -> None:
    digest = next(iter(door.objects.digests()))
    data = door.objects.get(digest)
    door.objects.remove(digest)

    def mend(found: Verification) -> None:
        if found.done == 256:
            assert [fault.digest for fault in found.faults] == [digest]
            door.objects.put(data)

    assert verifier(door).run(fast=False, at=door.clock(), on_shard=mend).sound


def test_an_object_whose_row_comes_while_its_folder_is_listed_is_no_orphan(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    rows = Verifier._rows

    def late(self: Verifier, shard: str) -> dict[str, int]:
        first, _ = shard not in seen, seen.add(shard)
        return {} if first else rows(self, shard)

    monkeypatch.setattr(Verifier, "_rows", late)
    assert verifier(door).run(fast=True, at=door.clock()).orphans == []


def test_orphans_are_removed_once_old_enough_and_on_the_record(door: FrontDoor) -> None:
    old, young = door.objects.put(b"old"), door.objects.put(b"young")
    now = door.clock().timestamp()
    for digest, age in ((old, 30), (young, 20)):
        os.utime(door.objects.path(digest), (now, now - age * 3600))
    half = door.objects.root / ASIDE / "0123"
    half.write_bytes(b"half")
    os.utime(half, (now, now - 30 * 3600))
    work = verifier(door)
    found = work.run(fast=True, at=door.clock())
    assert work.remove_orphans(found, actor="person:ig", at=door.clock()) == 2
    assert not door.objects.has(old) and door.objects.has(young) and not half.exists()
    assert [orphan.digest for orphan in found.orphans] == [young]
    with door.database.reading() as session:
        [row] = session.scalars(select(Audit).where(Audit.verb == "remove-orphans"))
    assert row.detail == "1 objects, 3 bytes"


def test_an_orphan_that_got_its_row_meanwhile_is_kept(door: FrontDoor) -> None:
    digest = next(iter(door.objects.digests()))
    os.utime(door.objects.path(digest), (0, 0))
    found = Verification.model_validate(
        {
            "fast": True,
            "started_at": door.clock(),
            "orphans": [{"digest": digest, "bytes": 1, "put_at": 0.0}],
        }
    )
    assert verifier(door).remove_orphans(found, actor="person:ig", at=door.clock(), grace=timedelta(0)) == 0
    assert ObjectStore(door.objects.root).has(digest)
