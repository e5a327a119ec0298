"""`wardround node import`: folders and zips through the front door; what isn't taken is named, and no zip is a bomb."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import func, select
from tests.front_door import FrontDoor, data_set, studies

from wardround.dicom.network import StorageReceiver
from wardround.foundation.files import write_whole
from wardround.node.home import NodeHome
from wardround.node.receive.bay import waiting_files
from wardround.node.receive.importing import Importing, ImportReport
from wardround.node.receive.landing import Answer
from wardround.node.receive.parcels import Bounds
from wardround.node.receive.tables import ReceivedInstance

SETTINGS = b'site = "north"\nfederation = "testing"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n[dicom]\nreserve_mb = 0\n'


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    (tmp_path / "home").mkdir()
    made = FrontDoor(tmp_path / "home")
    yield made
    made.close()


def bring(door: FrontDoor, *paths: Path, bounds: Bounds | None = None, called: str = "RESEARCH") -> ImportReport:
    importing = Importing(door.reception, called_title=called, spool=door.quarantine, bounds=bounds)
    report = importing.run(list(paths))
    assert [file.name for file in door.quarantine.iterdir() if file.suffix != ".dcm"] == ["incoming"], "left behind"
    return report


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def altered(part10: bytes, *, number: int) -> bytes:
    """The same instance with other content."""
    one = pydicom.dcmread(io.BytesIO(part10))
    one.InstanceNumber = number
    buffer = io.BytesIO()
    one.save_as(buffer)
    return buffer.getvalue()


def objects() -> list[bytes]:
    return [one for study in studies() for one in (*study.slices, study.segmentation)]


def test_a_folder_with_zips_in_zips_arrives_as_it_is(door: FrontDoor, tmp_path: Path) -> None:
    all_of_them = objects()
    disc = tmp_path / "disc"
    (disc / "a" / "b").mkdir(parents=True)
    for number, part10 in enumerate(all_of_them[:4]):
        (disc / "a" / "b" / f"IM{number}").write_bytes(part10)
    inner = zipped({f"x/{number}.dcm": part10 for number, part10 in enumerate(all_of_them[4:7])})
    # A zip by its bytes, whatever its name is.
    (disc / "outer.bin").write_bytes(zipped({"inner": inner} | {str(n): one for n, one in enumerate(all_of_them[7:])}))
    progress: list[tuple[int, int]] = []
    importing = Importing(door.reception, called_title="RESEARCH", spool=door.quarantine)
    report = importing.run([disc], lambda files, size: progress.append((files, size)))
    assert (report.files, report.taken, report.skipped, report.named) == (10, 10, {}, [])
    assert door.quarantined_data_sets() == sorted(map(data_set, all_of_them))
    assert progress == sorted(progress)
    assert progress[-1][0] == 10
    assert door.tick().deidentified == 10


def test_the_same_content_is_kept_once_and_another_one_apart(door: FrontDoor, tmp_path: Path) -> None:
    first, second, *_ = objects()
    (tmp_path / "one.dcm").write_bytes(first)
    (tmp_path / "again.zip").write_bytes(zipped({"one": first, "two": second}))
    (tmp_path / "other.dcm").write_bytes(altered(first, number=77))
    report = bring(door, tmp_path / "one.dcm", tmp_path / "again.zip", tmp_path / "other.dcm")
    assert report.answers == {Answer.STORED: 3, Answer.OTHER_CONTENT: 1}
    assert report.named == [(str(tmp_path / "other.dcm"), "other-content")]
    again = bring(door, tmp_path / "one.dcm", tmp_path / "again.zip", tmp_path / "other.dcm")
    assert again.answers == report.answers
    with door.database.reading() as session:
        counts = dict(
            session.execute(select(ReceivedInstance.state, func.count()).group_by(ReceivedInstance.state)).all()
        )
    assert counts == {"received": 2, "refused": 1}


def test_what_is_no_dicom_is_named_and_nothing_else_suffers(door: FrontDoor, tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    disc.mkdir()
    first, second, third, *_ = objects()
    (disc / "image").write_bytes(first)
    (disc / "cut").write_bytes(second[: len(second) // 3])
    (disc / "readme.txt").write_text("hello")
    (disc / "empty").touch()
    (disc / "meta").write_bytes(bytes(128) + b"DICM" + b"\2\0\0\0ZZ\4\0abcd")
    (disc / "leads-out").symlink_to("/etc")
    os.mkfifo(disc / "pipe")
    (disc / "torn.zip").write_bytes(zipped({"a": first})[:-30])
    spoilt = bytearray(zipped({"a": third}))
    spoilt[600] ^= 0xFF
    (disc / "spoilt.zip").write_bytes(spoilt)
    index = pydicom.dcmread(io.BytesIO(first))
    index.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    index.save_as(disc / "DICOMDIR")
    report = bring(door, disc, tmp_path / "nowhere")
    assert report.skipped == {
        "not-part10": 2,
        "malformed": 1,
        "link-not-followed": 1,
        "not-a-file": 1,
        "zip-damaged": 2,
        "dicomdir": 1,
        "no-such-path": 1,
    }
    assert report.answers[Answer.STORED] >= 1
    assert {Path(name).name for name, _ in report.named} >= {"readme.txt", "pipe", "torn.zip", "DICOMDIR", "nowhere"}
    assert data_set(first) in door.quarantined_data_sets()


def test_names_that_lead_elsewhere_are_refused_and_nothing_is_written_there(door: FrontDoor, tmp_path: Path) -> None:
    first, second, third, fourth, *_ = objects()
    archive = tmp_path / "tricks.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../../escaped.dcm", first)
        made.writestr("/absolute.dcm", second)
        made.writestr("C:\\windows.dcm", second)
        made.writestr("..\\back.dcm", second)
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
        made.writestr("good/one.dcm", third)
    encrypted = bytearray(zipped({"secret": fourth}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + offset] |= 1
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    before = {file for file in tmp_path.rglob("*") if "home" not in file.parts}
    report = bring(door, archive, tmp_path / "encrypted.zip")
    assert report.skipped == {"zip-unsafe-name": 4, "link-not-followed": 1, "zip-encrypted": 1}
    assert door.quarantined_data_sets() == [data_set(third)]
    assert {file for file in tmp_path.rglob("*") if "home" not in file.parts} == before


def test_a_bomb_is_refused_before_it_is_unpacked(door: FrontDoor, tmp_path: Path) -> None:
    bounds = Bounds(depth=3, members=100, free_bytes=1_000_000, ratio=20)
    first = objects()[0]

    def reasons(content: bytes, name: str) -> dict[str, int]:
        (tmp_path / name).write_bytes(content)
        return dict(bring(door, tmp_path / name, bounds=bounds).skipped)

    nought = bytes(900_000)
    assert reasons(zipped({"a": nought, "b": nought}), "large") == {"zip-too-large": 1}
    inner = zipped({"a": nought})
    assert reasons(zipped({str(n): inner for n in range(9)}), "together") == {"zip-too-large": 8, "not-part10": 1}
    deep = zipped({"core": first})
    for _ in range(4):
        deep = zipped({"next": deep})
    assert reasons(deep, "deep") == {"zip-too-deep": 1}
    assert reasons(zipped({str(n): b"" for n in range(101)}), "many") == {"zip-too-many": 1}
    claims = bytearray(zipped({"a": first}))
    end = claims.rindex(b"PK\x05\x06")
    claims[end + 10 : end + 12] = b"\1\0"
    claims[end + 12 : end + 16] = (1 << 30).to_bytes(4, "little")
    assert reasons(bytes(claims), "directory") == {"zip-damaged": 1}
    (tmp_path / "good").write_bytes(zipped({"a": first}))
    assert bring(door, tmp_path / "good", bounds=bounds).taken == 1


def test_without_room_it_stops_and_goes_on_later(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for number, part10 in enumerate(objects()):
        write_whole(tmp_path / "disc" / f"{number}", part10)
    full = FrontDoor(home, reserve_bytes=1 << 60)
    report = Importing(full.reception, called_title="RESEARCH", spool=full.quarantine).run([tmp_path / "disc"])
    assert (report.stopped, report.taken) == ("no-room", 0)
    full.close()
    door = FrontDoor(home)
    assert bring(door, tmp_path / "disc").taken == 10
    door.close()


def test_it_works_beside_a_receiver_of_another_process(door: FrontDoor, tmp_path: Path) -> None:
    """Each process has its own bay; both write to one index."""
    from wardround.dicom.network import Peer, send

    all_of_them = objects()
    for number, part10 in enumerate(all_of_them):
        write_whole(tmp_path / "disc" / f"{number}", part10)
    other = FrontDoor(door.home)
    with StorageReceiver(["RESEARCH"], landing=other.reception) as receiver:
        assert send(all_of_them[:6], Peer("127.0.0.1", receiver.port, "RESEARCH"), "PACS").complete
        assert bring(door, tmp_path / "disc").taken == 10
        assert send(all_of_them[4:], Peer("127.0.0.1", receiver.port, "RESEARCH"), "PACS").complete
    other.close()
    assert door.quarantined_data_sets() == sorted(map(data_set, all_of_them))


def command(home: Path, *arguments: object, code: int = 0) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "wardround", "node", "import", *map(str, arguments), "--home", str(home)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def test_the_command_says_what_it_did_and_what_comes_next(tmp_path: Path) -> None:
    home, disc = tmp_path / "home", tmp_path / "disc"
    write_whole(home / "node.toml", SETTINGS)
    for number, part10 in enumerate(objects()[:5]):
        write_whole(disc / f"{number}", part10)
    write_whole(disc / "a\x1b[2Jletter.txt", b"Dear colleague")
    told = command(home, disc)
    assert "5 of 6 files are taken" in told
    assert "a?[2Jletter.txt: not-part10" in told
    assert "de-identified when the node serves: wardround node serve" in told
    document = json.loads(command(home, disc, "--json"))
    assert (document["taken"], document["skipped"], document["node_serves"]) == (5, {"not-part10": 1}, False)
    refused = json.loads(command(home, disc, "--called-title", "NOBODY", "--json", code=1))
    assert refused["answers"] == {"not-authorised": 5}
    log = "".join(file.read_text() for file in (home / "log").rglob("*") if file.is_file())
    assert "letter" not in log


def test_an_import_that_is_killed_is_taken_up_by_the_next(tmp_path: Path) -> None:
    home, disc = tmp_path / "home", tmp_path / "disc"
    write_whole(home / "node.toml", SETTINGS)
    all_of_them = objects()
    for number, part10 in enumerate(all_of_them):
        write_whole(disc / f"{number:02}", part10)
    process = subprocess.Popen(
        [sys.executable, "-m", "wardround", "node", "import", str(disc), "--home", str(home)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not any(waiting_files(home / "quarantine" / "incoming")):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.005)
    process.kill()
    process.wait()
    document = json.loads(command(home, disc, "--json"))
    assert document["taken"] == 10
    opened = NodeHome(home)
    with opened.database.reading() as session:
        rows = session.execute(select(ReceivedInstance.instance_key, ReceivedInstance.file)).all()
    opened.close()
    assert len({row.instance_key for row in rows}) == len(rows) == 10
    kept = sorted(data_set((home / "quarantine" / row.file).read_bytes()) for row in rows)
    assert kept == sorted(map(data_set, all_of_them))
