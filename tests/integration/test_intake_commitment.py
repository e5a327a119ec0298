"""Storage commitment by the running node: pynetdicom asks, and hears at once, later, and after a restart."""

from __future__ import annotations

import threading
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from sqlalchemy import select, update
from tests.front_door import SECRET, FrontDoor, studies
from tests.intake_lab import PATIENCE, Node, free_port, in_this_process, serving, until
from tests.tls_lab import Authority
from tests.wire_lab import CT

from wardround.dicom.network import CommitmentRequest, Peer, send
from wardround.foundation.clock import now
from wardround.foundation.settings import SettingsRefused
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.commitment import MOST_ATTEMPTS, CommitmentDesk, ReportTo
from wardround.node.receive.commitment_holdings import Holdings
from wardround.node.receive.commitment_store import FOLDER, CommitmentStore
from wardround.node.receive.index import CONFLICT
from wardround.node.receive.route import StudyPath
from wardround.node.receive.summary import intake_summary
from wardround.node.receive.tables import CommitmentRow, ReceivedInstance

__all__ = ["in_this_process"]
pytestmark = pytest.mark.usefixtures("in_this_process")
COMMIT = "commit = true\n"
TRANSACTION = "1.2.999.8.1"
Pair = tuple[str, str]


def pair(part10: bytes) -> Pair:
    ds = pydicom.dcmread(BytesIO(part10), stop_before_pixels=True)
    return str(ds.SOPClassUID), str(ds.SOPInstanceUID)


class Modality:
    """pynetdicom as the one that asks; it hears on the association of its request, or on a port of its own."""

    def __init__(self, port: int = 0) -> None:
        self.heard: list[Dataset] = []
        self.event = threading.Event()
        self._entity = AE("MODALITY")
        self._entity.add_requested_context(StorageCommitmentPushModel)
        self._entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        self._port = port

    def ask(self, peer: Peer, *instances: Pair, wait: bool = True, status: int = 0) -> int:
        """The status of the request. `wait` for the report, and answer it with `status`; else hang up."""
        wanted = Dataset()
        wanted.TransactionUID = TRANSACTION
        wanted.ReferencedSOPSequence = []
        for sop_class, uid in instances:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            wanted.ReferencedSOPSequence.append(item)
        made = self._entity.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            ext_neg=[build_role(StorageCommitmentPushModel, scu_role=True, scp_role=False)],
            evt_handlers=self._answering(status),
        )
        assert made.is_established
        answer, _ = made.send_n_action(wanted, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        if wait and answer.Status == 0:
            assert self.event.wait(PATIENCE)
        made.release()
        return int(answer.Status)

    def listen(self, status: int = 0) -> None:
        self._entity.start_server(("127.0.0.1", self._port), block=False, evt_handlers=self._answering(status))

    def stop(self) -> None:
        self._entity.shutdown()

    def _answering(self, status: int) -> list[Any]:
        """What answers reports with that status, on the one association or the port alone."""
        return [(evt.EVT_N_EVENT_REPORT, self._hear, [status])]

    def _hear(self, event: evt.Event, status: int) -> tuple[int, None]:
        if status == 0:
            self.heard.append(event.event_information)
        self.event.set()
        return status, None


def told(report: Dataset) -> tuple[list[Pair], dict[Pair, int]]:
    assert report.TransactionUID == TRANSACTION
    done = [
        (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
        for one in report.get("ReferencedSOPSequence", [])
    ]
    failed = {
        (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID)): int(one.FailureReason)
        for one in report.get("FailedSOPSequence", [])
    }
    return done, failed


def peers(port: int, extra: str = "") -> str:
    return f'{COMMIT}[[dicom.peers]]\nae_title = "MODALITY"\nhost = "127.0.0.1"\nport = {port}\n{extra}'


def commitments(node: Node) -> dict[str, int]:
    return dict(intake_summary(node.home.database).commitments)


def kept(node: Node) -> list[Path]:
    return list((node.home.quarantine / FOLDER).iterdir())


def test_a_node_does_not_offer_it_unless_it_is_told_to(tmp_path: Path) -> None:
    with serving(tmp_path) as node, pytest.raises(AssertionError):
        Modality().ask(node.research, (CT, "1.2.3"))


@pytest.mark.parametrize("receivers", [1, 2])
def test_it_answers_at_once_for_what_has_just_landed(tmp_path: Path, receivers: int) -> None:
    study = studies()[0]
    modality = Modality()
    sent = [pair(part10) for part10 in (*study.slices, study.segmentation)]
    missing, wrong = (CT, "1.2.999.77"), (CT, sent[0][1])
    with serving(tmp_path, dicom=COMMIT, receivers=receivers) as node:
        assert send([*study.slices, study.segmentation], node.research, "MODALITY").complete
        assert modality.ask(node.research, *sent, missing, wrong) == 0
        assert told(modality.heard[0]) == (sent, {missing: 0x0112, wrong: 0x0119})
        until(lambda: commitments(node) == {"delivered": 1})
        assert kept(node) == []
        until(lambda: intake_summary(node.home.database).states["research"] == {"deidentified": 5})
        modality.event.clear()
        assert modality.ask(node.research, *sent) == 0
        assert told(modality.heard[1]) == (sent, {}), "the enclave has the de-identified copies"


def test_an_answer_that_is_not_taken_comes_later_on_an_association_of_its_own(tmp_path: Path) -> None:
    study = studies()[0]
    modality = Modality(free_port())
    with serving(tmp_path, dicom=peers(modality._port)) as node:
        assert send(study.slices, node.clinic, "MODALITY").complete
        modality.listen()
        sent = [pair(part10) for part10 in study.slices]
        modality.ask(node.clinic, *sent, status=0x0110)
        until(lambda: commitments(node) == {"delivered": 1})
        assert told(modality.heard[-1]) == (sent, {})
    modality.stop()


def test_an_answer_survives_a_restart_and_nothing_is_kept_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = studies()[0]
    modality = Modality(free_port())
    sent = [pair(part10) for part10 in study.slices]
    with serving(tmp_path, dicom=peers(modality._port)) as node:
        assert send(study.slices, node.clinic, "MODALITY").complete
        modality.ask(node.clinic, *sent, status=0x0110)
        until(lambda: attempts(node) > 0)
        assert commitments(node) == {"waiting": 1}
        [file] = kept(node)
        names = [uid.encode() for _, uid in sent] + [TRANSACTION.encode()]
        for kept_file in [file, *tmp_path.glob("node.db*")]:
            assert not any(name in kept_file.read_bytes() for name in names)
    monkeypatch.setattr("tests.intake_lab.now", lambda: now() + timedelta(minutes=5))
    modality.listen()
    with serving(tmp_path, dicom=peers(modality._port)) as node:
        until(lambda: commitments(node) == {"delivered": 1})
        assert told(modality.heard[-1]) == (sent, {})
        assert kept(node) == []
    modality.stop()


def attempts(node: Node) -> int:
    with node.home.database.reading() as session:
        return sum(session.scalars(select(CommitmentRow.attempts)))


def test_it_is_given_up_after_some_tries_and_at_once_without_an_address(tmp_path: Path) -> None:
    moment = [now()]
    with serving(tmp_path) as node:
        database = node.home.database
        store = CommitmentStore(database, tmp_path / "asked", tmp_path / "identity" / "other.key")
        holdings = Holdings(database, KeyMaker(bytes(32)), {})
        desk = CommitmentDesk(
            store,
            holdings,
            settle=lambda _: True,
            requestors={"MODALITY": ReportTo(Peer("127.0.0.1", free_port(), "MODALITY"))},
            clock=lambda: moment[0],
        )
        for title in ("MODALITY", "STRANGER"):
            request = CommitmentRequest(title, "WARDROUND", TRANSACTION, ((CT, "1.2.3"),), "127.0.0.1")
            assert desk.request(request).failed == ((CT, "1.2.3", 0x0112),)
            desk.delivered(request, taken=False)
        desk.tick()
        assert commitments(node) == {"waiting": 1, "given-up": 1}
        for _ in range(MOST_ATTEMPTS):
            moment[0] += timedelta(hours=1)
            desk.tick()
        assert commitments(node) == {"given-up": 2}
        assert list((tmp_path / "asked").iterdir()) == []
        with database.reading() as session:
            assert set(session.scalars(select(CommitmentRow.reason))) == {"peer-unreachable", "no-peer"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "purged", "file": None}, 0x0112),
        ({"state": "refused", "reason": "burned-in-annotation"}, 0x0110),
        ({"reason": CONFLICT}, 0x0110),
        ({"file": "0" * 32 + ".dcm"}, 0x0110),
        ({"sop_class": ""}, 0x0110),
        ({"sop_class": CT}, 0x0119),
        ({"state": "review"}, None),
    ],
)
def test_the_node_answers_for_what_it_has_and_for_nothing_else(
    tmp_path: Path, change: dict[str, object], reason: int | None
) -> None:
    door = FrontDoor(tmp_path)
    part10 = studies()[0].slices[0]
    door.give(part10)
    with door.database.writing() as session:
        session.execute(update(ReceivedInstance).values(**change))
    roots = {StudyPath.RESEARCH: door.quarantine, StudyPath.CLINIC: door.clinical}
    holdings = Holdings(door.database, KeyMaker(SECRET), roots)
    report = holdings.report(CommitmentRequest("A", "B", TRANSACTION, (pair(part10),), ""))
    assert [failure for _, _, failure in report.failed] == ([] if reason is None else [reason])
    assert len(report.done) == (reason is None)
    door.close()


def test_settings_that_promise_too_much_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match="durable"), serving(tmp_path, dicom=COMMIT + "durable = false\n"):
        pass
    tls = peers(1, "tls = true\n")
    with pytest.raises(SettingsRefused, match="tls_certificate"), serving(tmp_path, dicom=tls):
        pass
    ours = Authority(tmp_path, "hospital").issue("node")
    files = {"tls_certificate": ours.certificate, "tls_key": ours.key, "tls_trusted": ours.trusted}
    wire = "[wire]\n" + "".join(f'{name} = "{path}"\n' for name, path in files.items())
    with serving(tmp_path, dicom=tls, rest=wire):
        pass


def test_what_landed_before_the_request_is_waited_for(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    part10 = studies()[0].slices[0]

    def settle(_seconds: float) -> bool:
        door.give(part10)
        return True

    roots = {StudyPath.RESEARCH: door.quarantine, StudyPath.CLINIC: door.clinical}
    desk = CommitmentDesk(
        CommitmentStore(door.database, tmp_path / "asked", tmp_path / "identity" / "other.key"),
        Holdings(door.database, KeyMaker(SECRET), roots),
        settle=settle,
        requestors={},
        clock=door.clock,
    )
    report = desk.request(CommitmentRequest("A", "B", TRANSACTION, (pair(part10),), ""))
    assert (report.done, report.failed) == ((pair(part10),), ())
    door.close()
