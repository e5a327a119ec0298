"""Pulls in TLS, both ways, from a real Orthanc: found and got, found and moved, and nothing without a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from tests import orthanc
from tests.front_door import FrontDoor, data_set, studies
from tests.tls_lab import Authority

from wardround.dicom.network import Peer, PeerUnreachable, StorageReceiver, TlsSettings
from wardround.dicom.network_query import studies_at, verify
from wardround.node.receive.clinical import clinical_studies
from wardround.node.retrieve.asks import Ask
from wardround.node.retrieve.pacs import Pacs

pytestmark = pytest.mark.skipif(not orthanc.INSTALLED, reason="Orthanc isn't installed (Debian: orthanc)")


class Site:
    """A PACS that speaks TLS alone, and the certificate that this node shows it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "hospital", "hospital")
        self.node = self.authority.issue("node")
        theirs = self.authority.issue("pacs", rsa_key=True)
        self.port = orthanc.free_port()
        (folder / "pacs").mkdir()
        self.pacs = orthanc.Orthanc(
            folder / "pacs",
            {"CLINIC": self.port},
            {
                "DicomTlsEnabled": True,
                "DicomTlsCertificate": str(theirs.certificate),
                "DicomTlsPrivateKey": str(theirs.key),
                "DicomTlsTrustedCertificates": str(theirs.trusted),
                "DicomTlsRemoteCertificateRequired": True,
            },
        )
        self.pacs.start()
        study = studies()[0]
        self.sent = [*study.slices, study.segmentation]
        self.pacs.take(self.sent)
        self.patient = str(pydicom.dcmread(BytesIO(study.slices[0])).PatientID)
        self.peer = Peer("127.0.0.1", self.pacs.port, self.pacs.title)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.pacs.kill()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def never() -> bool:
    return False


@pytest.mark.parametrize("get", [True, False], ids=["C-GET", "C-MOVE"])
def test_a_study_comes_whole_in_tls(site: Site, door: FrontDoor, get: bool) -> None:
    pacs = Pacs(site.peer, "CLINIC", tls=site.node.client(), landing=door.reception if get else None)
    pacs.answers()
    [found] = pacs.find(Ask(patient_id=site.patient), never)
    assert pacs.count(found, never) == len(site.sent)
    with StorageReceiver(["CLINIC"], landing=door.reception, port=site.port, tls=site.node) as receiver:
        outcome = pacs.send(found, "CLINIC", never)
        assert (outcome.status, outcome.completed, outcome.failed) == (0, len(site.sent), 0)
        assert receiver.counts().get("associations", 0) == (0 if get else 1)
    assert door.reception.settle(60)
    [study] = clinical_studies(door.database, door.clinical, complete=False)
    assert sorted(data_set(file.read_bytes())[-512:] for file in study.files) == sorted(
        data_set(part10)[-512:] for part10 in site.sent
    )


def test_nothing_is_asked_of_a_pacs_in_tls_without_a_certificate_that_it_trusts(site: Site, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "elsewhere", "elsewhere").issue("node")
    knows_the_pacs = TlsSettings(stranger.certificate, stranger.key, site.node.trusted)
    for tls in (None, knows_the_pacs.client(), stranger.client()):
        with pytest.raises(PeerUnreachable):
            verify(site.peer, "CLINIC", tls=tls)
        with pytest.raises(PeerUnreachable):
            studies_at(site.peer, "CLINIC", patient_id=site.patient, tls=tls)
