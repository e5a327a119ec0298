"""`wardround enclave` at a node's home: what an engineer sees, and what stays or goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE, SECRET, FrontDoor, joined, studies

from wardround.node.audit import Audit

SETTINGS = """
site = "north"
federation = "test-net"

[hub]
host = "127.0.0.1"
api_port = 1

[enclave]
quota_gb = 1
reserve_gb = 0
"""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    (tmp_path / "node.toml").write_text(SETTINGS)
    joined(tmp_path)
    (tmp_path / "identity" / "pseudonyms.key").write_bytes(SECRET)
    made = FrontDoor(tmp_path)
    for study in studies():
        made.give_study(study)
    made.tick()
    yield made
    made.close()


def enclave(door: FrontDoor, *arguments: str, code: int = 0) -> str:
    program = "from wardround.cli.main import run; run()"
    finished = subprocess.run(
        [sys.executable, "-c", program, "enclave", *arguments, "--home", door.home],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert finished.returncode == code, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def told(door: FrontDoor, *arguments: str, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(enclave(door, *arguments, "--json", code=code))
    return document


def test_verify_says_what_is_lost_and_the_mend(door: FrontDoor) -> None:
    assert "Everything that the index names is there." in enclave(door, "verify")
    digest = next(iter(door.objects.digests()))
    door.objects.remove(digest)
    text = enclave(door, "verify", "--fast", code=1)
    assert f"MISSING {digest}" in text and f"enclave/objects/{digest[:2]}/{digest}" in text
    document = told(door, "verify", code=1)
    assert not document["sound"] and document["faults"][0]["digest"] == digest and document["faults"][0]["mend"]
    stranger = door.objects.put(b"nobody's")
    os.utime(door.objects.path(stranger), (0, 0))
    assert told(door, "verify", "--remove-orphans", code=1)["removed"] == 1
    assert not door.objects.has(stranger)


def test_a_purge_is_shown_first_and_done_only_when_asked_with_a_reason(door: FrontDoor) -> None:
    first, second = door.enclave.find(EVERYONE)
    text = enclave(door, "purge", "--patient", first.pseudonym)
    assert "1 studies, 2 series, 5 instances, 1 patients wholly; 5 objects" in text
    assert "Nothing was purged" in text and len(door.enclave.find(EVERYONE)) == 2
    assert "--reason" in enclave(door, "purge", "--patient", first.pseudonym, "--yes", code=2)
    assert "no patient of that name" in enclave(door, "purge", "--patient", "WR-NOBODY", code=1)
    assert "only one" in enclave(door, "purge", "--patient", "a", "--study", "b", code=2)
    assert "name one of" in enclave(door, "purge", code=2)
    assert "2026-03-31" in enclave(door, "purge", "--before", "yesterday", code=2)
    for path in door.objects.root.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    done = told(door, "purge", "--patient", first.pseudonym, "--yes", "--reason", "the ethics board said so")
    assert (done["purged"], done["files_removed"], done["files_waiting"]) == (True, 5, 0)
    assert door.enclave.find(EVERYONE) == (second,)
    with door.database.reading() as session:
        [row] = session.scalars(select(Audit).where(Audit.verb == "purge-enclave"))
    assert row.actor.startswith("os:") and "the ethics board said so" in row.detail
    assert told(door, "verify")["orphans"] == []


def test_what_was_just_put_waits_and_can_be_finished(door: FrontDoor) -> None:
    [first, _] = door.enclave.find(EVERYONE)
    text = enclave(door, "purge", "--study", first.study, "--yes", "--reason", "r")
    assert "5 objects were put a moment ago" in text
    assert told(door, "verify", "--fast")["waiting"] == 5
    for path in door.objects.root.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    assert told(door, "purge", "--resume")["files_removed"] == 5


def test_status_shows_what_is_held_and_the_alarms(door: FrontDoor) -> None:
    text = enclave(door, "status")
    assert "MR" in text and "SEG" in text and "ALARM" not in text
    document = told(door, "status")
    assert document["modalities"]["MR"] == {
        "patients": 2,
        "studies": 2,
        "series": 2,
        "instances": 8,
        "bytes": sum(door.objects.path(digest).stat().st_size for digest in slices(door)),
    }
    settings = door.home / "node.toml"
    settings.write_text(settings.read_text().replace("quota_gb = 1", "quota_gb = 0.000001"))
    assert "ALARM enclave-over-quota" in enclave(door, "status")


def slices(door: FrontDoor) -> list[str]:
    from wardround.node.enclave.tables import EnclaveInstance, EnclaveSeries

    with door.database.reading() as session:
        images = select(EnclaveSeries.uid).where(EnclaveSeries.modality == "MR")
        return list(session.scalars(select(EnclaveInstance.digest).where(EnclaveInstance.series_uid.in_(images))))


def test_volumes_are_made_ahead_and_what_cannot_be_used_is_told(door: FrontDoor) -> None:
    door.give(*studies(3)[2].slices[:2], studies(3)[2].slices[3])
    door.tick()
    assert "2 of 3 cases are ready for learning" in (text := enclave(door, "prepare"))
    assert "unusable: 1 for missing-slices" in text
    assert told(door, "prepare") == {"ready": 2, "unusable": {"missing-slices": 1}}
    assert "unusable: 1 series for missing-slices" in enclave(door, "status")
    assert told(door, "status")["volumes"] > 0
