"""The running node asks the PACS how much of a study there is, and never waits for it longer than the quiet time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind
from sqlalchemy import select
from tests.front_door import studies
from tests.intake_lab import Node, free_port, in_this_process, serving, until

from wardround.dicom.network import send
from wardround.node.receive.tables import ReceivedStudy

__all__ = ["in_this_process"]
pytestmark = pytest.mark.usefixtures("in_this_process")
SHORT = "quiet_seconds = 3\n"


class Archive:
    """A PACS of pynetdicom that states a count for each study that it is asked for."""

    def __init__(self) -> None:
        self.stated = 0
        self.asked: list[str] = []
        self.silent = False
        self.ends = threading.Event()
        entity = AE("HOSPITALPACS")
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, self._find)])
        self.port = int(server.server_address[1])
        self.stop = entity.shutdown

    def settings(self) -> str:
        return settings(self.port)

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        self.asked.append(str(event.identifier.StudyInstanceUID))
        if self.silent:
            self.ends.wait(60)
        answer = Dataset()
        answer.QueryRetrieveLevel = "STUDY"
        answer.StudyInstanceUID = event.identifier.StudyInstanceUID
        answer.NumberOfStudyRelatedInstances = self.stated
        yield 0xFF00, answer


def settings(port: int) -> str:
    return f'[pacs]\nhost = "127.0.0.1"\nport = {port}\nae_title = "HOSPITALPACS"\nask_count = true\n'


@pytest.fixture
def archive() -> Iterator[Archive]:
    made = Archive()
    yield made
    made.ends.set()
    made.stop()


def of_study(node: Node) -> tuple[bool, int | None, int]:
    """Whether it is complete, the stated count, and how often it was opened again."""
    assert node.intake.reception.settle(60)
    with node.home.database.reading() as session:
        [row] = session.scalars(select(ReceivedStudy))
        return row.completed_at is not None, row.stated, row.reopened


def test_a_study_is_complete_with_the_count_of_the_pacs(tmp_path: Path, archive: Archive) -> None:
    slices = studies()[0].slices
    archive.stated = 3
    with serving(tmp_path, dicom="quiet_seconds = 20\n", rest=archive.settings()) as node:
        assert send(slices[:2], node.research, "PACS").complete
        until(lambda: of_study(node) == (False, 3, 0))
        assert send(slices[2:3], node.research, "PACS").complete
        assert node.intake.reception.settle(60)
        with node.home.database.reading() as session:
            came = session.scalars(select(ReceivedStudy.last_at)).one()
        until(lambda: of_study(node)[0])
        with node.home.database.reading() as session:
            completed = session.scalars(select(ReceivedStudy.completed_at)).one()
        assert completed is not None
        assert (completed - came).total_seconds() < 20, "sooner than the quiet time"
        assert send(slices[3:], node.research, "PACS").complete
        until(lambda: of_study(node) == (True, 3, 1))
    uid = str(pydicom.dcmread(BytesIO(slices[0])).StudyInstanceUID)
    assert set(archive.asked) == {uid}
    assert not any(uid.encode() in file.read_bytes() for file in tmp_path.glob("node.db*"))


def test_a_pacs_that_is_silent_or_away_delays_nothing(
    tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardround.node.intake.PACS_ANSWERS", 1000)
    slices = studies()[0].slices
    archive.silent = True
    with serving(tmp_path / "silent", dicom=SHORT, rest=archive.settings()) as node:
        assert send(slices, node.research, "PACS").complete
        until(lambda: bool(archive.asked))
        until(lambda: of_study(node) == (True, None, 0))
        assert not archive.ends.is_set(), "while it is still being asked"
        archive.ends.set()
    with serving(tmp_path / "away", dicom=SHORT, rest=settings(free_port())) as node:
        assert send(slices, node.research, "PACS").complete
        until(lambda: of_study(node) == (True, None, 0))


def test_nothing_is_asked_unless_the_settings_say_so(tmp_path: Path, archive: Archive) -> None:
    rest = archive.settings().replace("ask_count = true\n", "")
    with serving(tmp_path, dicom="quiet_seconds = 2.5\n", rest=rest) as node:
        assert send(studies()[0].slices, node.research, "PACS").complete
        until(lambda: of_study(node)[0])
    assert archive.asked == []
