"""Several receiving processes behind one port: they share seats and the index, and none is missed when it dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest
from sqlalchemy import select
from tests import wire_lab as lab
from tests.front_door import data_set, edited, studies
from tests.intake_lab import Node, free_port, in_this_process, serving, until
from tests.tls_lab import Authority
from tests.wire_lab import RJ, Caller

from wardround.dicom.network import StorageReceiver
from wardround.node.receive.arrival import Entry, KeyMaker, Keys
from wardround.node.receive.index import IndexUnavailable
from wardround.node.receive.quay import Quay
from wardround.node.receive.receivers import Receivers
from wardround.node.receive.register import Register
from wardround.node.receive.route import StudyPath, by_called_title
from wardround.node.receive.summary import intake_summary
from wardround.node.receive.tables import ReceivedInstance

__all__ = ["in_this_process"]
pytestmark = pytest.mark.usefixtures("in_this_process")
ROOT = Path(__file__).parents[2]
QUIET = "quiet_seconds = 3600\npatience_seconds = 600"
OTHER_CONTENT, FULL = 0xC001, (RJ, bytes((0, 2, 3, 2)))
DCMTK = Path("/usr/bin")


def receivers(node: Node) -> Receivers:
    assert isinstance(node.intake._receiver, Receivers)
    return node.intake._receiver


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with serving(tmp_path, dicom=QUIET, receivers=2) as running:
        yield running


def uid(part10: bytes) -> str:
    return str(pydicom.dcmread(BytesIO(part10), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def sending(part10: bytes) -> bytes:
    return lab.store(data_set(part10), uid(part10))


def called(port: int, title: str = "WARDROUND") -> Caller:
    caller = Caller(port)
    caller.associate(lab.associate_rq(title))
    return caller


def instances(node: Node) -> int:
    with node.home.database.reading() as session:
        return len(session.execute(select(ReceivedInstance.id)).all())


def test_one_that_is_killed_breaks_its_own_associations_alone_and_loses_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = studies()
    written, dead = Register.write, threading.Event()

    def once_it_is_dead(self: Register, *batch: Any) -> None:
        if not dead.is_set():
            raise IndexUnavailable("locked")
        written(self, *batch)

    monkeypatch.setattr(Register, "write", once_it_is_dead)
    monkeypatch.setattr("wardround.node.receive.receivers.TAKEN_OVER_EVERY", 0.1)
    port = node.research.port
    with called(port) as one, called(port) as other:
        for caller, study in ((one, first), (other, second)):
            for part10 in study.slices[:3]:
                caller.send(sending(part10))
                assert caller.status() == 0
            begun = sending(study.slices[3])
            caller.send(begun[: len(begun) // 2])
        victim = receivers(node).process_ids[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in receivers(node).process_ids)
        dead.set()
        ends = []
        for caller, study in ((one, first), (other, second)):
            begun = sending(study.slices[3])
            try:
                caller.send(begun[len(begun) // 2 :])
                ends.append(caller.status())
            except (AssertionError, OSError):
                ends.append(-1)
        assert sorted(ends) == [-1, 0], "the two associations were in different processes"
    assert node.intake.settle(60)
    assert instances(node) == 7, "all that was acknowledged, of the one that died too"
    until(lambda: len(receivers(node).process_ids) == 2)
    with called(port) as again, called(port) as too:
        for caller, study in ((again, first), (too, second)):
            caller.send(sending(study.slices[3]))
            assert caller.status() == 0
    assert node.intake.settle(60)
    assert instances(node) == 8
    assert dict(intake_summary(node.home.database).turned_away)["receiver-ended"] == 1


def test_they_share_the_seats_and_a_dead_one_gives_its_own_back(tmp_path: Path) -> None:
    with serving(tmp_path, dicom=QUIET, rest="[wire]\nassociations = 3\n", receivers=2) as node, ExitStack() as open_:
        port = node.research.port
        for _ in range(3):
            open_.enter_context(called(port))
        with Caller(port) as late:
            late.send(lab.associate_rq("WARDROUND"))
            assert late.read() == FULL
        for process in receivers(node).process_ids:
            os.kill(process, signal.SIGKILL)
        for _ in range(3):
            open_.enter_context(called(port))
        with Caller(port) as late:
            late.send(lab.associate_rq("WARDROUND"))
            assert late.read() == FULL


def test_other_content_is_told_from_what_came_through_another_process(node: Node) -> None:
    study = studies()[0]
    with called(node.research.port) as one, called(node.research.port) as other:
        other.send(sending(study.slices[0]))
        assert other.status() == 0
        one.send(sending(study.slices[1]))
        assert one.status() == 0
        assert node.intake.settle(60)
        one.send(sending(study.slices[0]))
        assert one.status() == 0, "the same content"
        other.send(sending(edited(study.slices[1], PatientComments="changed")))
        assert other.status() == OTHER_CONTENT
    assert node.intake.settle(60)
    assert instances(node) == 3


@pytest.mark.skipif(not (DCMTK / "storescu").exists(), reason="dcmtk isn't installed")
def test_dcmtk_stores_over_tls_on_four_associations_at_once(tmp_path: Path) -> None:
    hospital = Authority(tmp_path, "hospital")
    ours, theirs = hospital.issue("node"), hospital.issue("modality")
    wire = f'[wire]\ntls_certificate = "{ours.certificate}"\ntls_key = "{ours.key}"\ntls_trusted = "{ours.trusted}"\n'
    folders = [tmp_path / str(number) for number in range(4)]
    for number, study in enumerate(studies(4)):
        folders[number].mkdir()
        for index, part10 in enumerate(study.slices):
            (folders[number] / f"{index}.dcm").write_bytes(part10)
    tls = ["+tls", str(theirs.key), str(theirs.certificate), "+cf", str(theirs.trusted)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    with serving(tmp_path / "home", dicom=QUIET, rest=wire + 'senders = ["PACS"]\n', receivers=2) as node:
        peer = ["-aet", "PACS", "-aec", "WARDROUND", "127.0.0.1", str(node.research.port)]
        assert subprocess.run([DCMTK / "echoscu", *tls, *peer], env=environment, check=False).returncode == 0
        assert subprocess.run([DCMTK / "echoscu", *peer], env=environment, check=False).returncode != 0
        senders = [
            subprocess.Popen([DCMTK / "storescu", *tls, "+sd", *peer, str(folder)], env=environment)
            for folder in folders
        ]
        assert [sender.wait(120) for sender in senders] == [0, 0, 0, 0]
        assert node.intake.settle(60)
        assert instances(node) == 16


def test_none_outlives_the_node_however_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path / "stopped", dicom=QUIET, receivers=2) as node:
        processes = [psutil.Process(each) for each in receivers(node).process_ids]
        with called(node.research.port) as caller:
            caller.send(sending(studies()[0].slices[0]))
            assert caller.status() == 0
    assert not any(each.is_running() for each in processes)
    assert [each for each in (tmp_path / "stopped/quarantine/incoming").iterdir() if each.is_dir()] == []

    home, port = tmp_path / "killed", free_port()
    program = "import sys; from tests.integration.test_intake_receivers import serve; serve(*sys.argv[1:])"
    command = [sys.executable, "-c", program, str(home), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as serving_:
        assert serving_.stdout is not None
        processes = [psutil.Process(int(each)) for each in serving_.stdout.readline().split()]
        assert len(processes) == 2
        with called(port) as one, called(port) as other:
            for caller, part10 in ((one, studies()[0].slices[0]), (other, studies()[0].slices[1])):
                caller.send(sending(part10))
                assert caller.status() == 0
            serving_.kill()
            _, alive = psutil.wait_procs(processes, timeout=60)
            assert alive == []
    with serving(home, dicom=QUIET, port=port) as again:
        assert instances(again) == 2


def test_what_a_process_of_a_killed_node_held_at_the_restart_is_taken_over_once_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardround.node.intake.TAKEN_OVER_EVERY", 0.1)
    with serving(tmp_path, dicom=QUIET) as node:
        secret = node.intake._department.secret
    quay = Quay(
        Away(), KeyMaker(secret), by_called_title({"WARDROUND": "research"}), quarantine=tmp_path / "quarantine"
    )
    quay.prepare()
    with StorageReceiver(["WARDROUND"], landing=quay) as orphan, called(orphan.port) as caller:
        caller.send(sending(studies()[0].slices[0]))
        assert caller.status() == 0
    with serving(tmp_path, dicom=QUIET) as again:
        assert instances(again) == 0
        os.close(quay._bay._lock)  # as its end does
        until(lambda: instances(again) == 1)
    quay._registrar.close(0)


class Away:
    """An index that a process has lost."""

    def contents(self, study_key: str) -> list[tuple[str, str]]:
        return []

    def holds_other_content(self, keys: Keys, paths: Sequence[StudyPath]) -> bool:
        return False

    def write(self, entries: Sequence[Entry], turned_away: Mapping[str, int], at: datetime) -> None:
        raise IndexUnavailable


def test_a_port_that_is_taken_leaves_no_process_behind(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        with pytest.raises(OSError, match="in use"), serving(tmp_path, dicom=QUIET, port=port, receivers=2):
            pass
    assert set(psutil.Process().children()) == before


def serve(home: str, port: str) -> None:
    """A node in a process of its own, to be killed."""
    with serving(Path(home), dicom=QUIET, port=int(port), receivers=2) as node:
        print(*receivers(node).process_ids, flush=True)
        sys.stdin.read()
