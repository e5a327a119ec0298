"""The enclave answers dcmtk's own clients and a real Orthanc: found, moved and got, in the clear and in TLS."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless
from sqlalchemy import select
from tests import orthanc
from tests.intake_lab import free_port
from tests.tls_lab import Authority
from tests.web_lab import Web, enlarged, segmentation, slices
from tests.wire_lab import Shelf

from wardround.dicom.errors import AssociationRefused
from wardround.dicom.network import Peer, TlsSettings
from wardround.dicom.network_provider import Caller, QueryProvider
from wardround.dicom.network_query import instances_at, series_at, studies_at
from wardround.dicom.network_retrieve import get, move
from wardround.node.audit import Audit
from wardround.node.deidentify.tables import OpenStudy
from wardround.node.query.archive import EnclaveArchive

DCMTK = {name: shutil.which(name, path="/usr/bin") for name in ("echoscu", "findscu", "movescu", "getscu", "storescp")}
pytestmark = pytest.mark.skipif(None in DCMTK.values(), reason="dcmtk isn't installed (Debian: dcmtk)")
TITLE = "WARDQUERY"


@dataclass
class Site:
    """An enclave of two patients behind a provider; `destination` is where C-MOVE sends to."""

    web: Web
    provider: QueryProvider
    destination: int

    def headers(self) -> list[Dataset]:
        """What the enclave holds, as it is stored."""
        found = []
        for address in self.web.instances():
            study, _, series, _, instance = address.split("/studies/")[1].split("/")
            [one] = self.web.catalogue.instances(study, series, instance)
            found.append(pydicom.dcmread(one.file))
        return found

    def rle(self) -> Dataset:
        """The slice that is stored compressed."""
        [one] = [one for one in self.headers() if one.file_meta.TransferSyntaxUID == RLELossless]
        return one

    def audited(self) -> list[tuple[str, str]]:
        with self.web.door.database.reading() as session:
            rows = session.scalars(select(Audit).where(Audit.verb == "retrieve-study"))
            return [(row.actor, row.subject) for row in rows]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    web = Web(tmp_path_factory.mktemp("web"))
    sent = slices()
    enlarged(sent[0])
    sent[0].compress(RLELossless, generate_instance_uid=False)
    web.hold([*sent, segmentation(), *slices(1)])
    destination = free_port()
    callers = {
        "VIEWER": Caller(),
        "ARCHIVE": Caller(Peer("127.0.0.1", destination, "ARCHIVE")),
        orthanc.TITLE: Caller(Peer("127.0.0.1", destination, orthanc.TITLE)),
    }
    archive = EnclaveArchive(web.door.database, web.catalogue, TITLE, web.door.clock)
    provider = QueryProvider(TITLE, archive, callers)
    provider.start()
    yield Site(web, provider, destination)
    provider.stop()
    web.close()


def dcmtk(program: str, port: int, *arguments: str, title: str = "VIEWER", folder: Path | None = None) -> str:
    """Run one of dcmtk's clients against the provider; its log, once it ended well."""
    command = [str(DCMTK[program]), "-v", "-aet", title, "-aec", TITLE, *arguments, "127.0.0.1", str(port)]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def answers(site: Site, folder: Path, *keys: str, model: str = "-S") -> list[Dataset]:
    folder.mkdir(exist_ok=True)
    arguments = [part for key in keys for part in ("-k", key)]
    dcmtk("findscu", site.provider.port, model, "-X", *arguments, folder=folder)
    return [pydicom.dcmread(file, force=True) for file in sorted(folder.glob("rsp*.dcm"))]


def test_verification_is_answered(site: Site) -> None:
    dcmtk("echoscu", site.provider.port)


def test_findscu_sees_patients_studies_series_and_instances_as_they_are_stored(site: Site, tmp_path: Path) -> None:
    held = site.headers()
    patients = answers(site, tmp_path / "p", "QueryRetrieveLevel=PATIENT", "PatientID", "PatientSex", model="-P")
    assert {one.PatientID for one in patients} == {one.PatientID for one in held}
    studies = answers(
        site, tmp_path / "s", "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "NumberOfStudyRelatedInstances"
    )
    counts = {one.StudyInstanceUID: int(one.NumberOfStudyRelatedInstances) for one in studies}
    expected = [one.StudyInstanceUID for one in held]
    assert counts == {uid: expected.count(uid) for uid in expected}
    study = held[0].StudyInstanceUID
    series = answers(
        site, tmp_path / "e", "QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study}", "SeriesInstanceUID"
    )
    of_study = [one for one in held if one.StudyInstanceUID == study]
    assert {one.SeriesInstanceUID for one in series} == {one.SeriesInstanceUID for one in of_study}
    wanted = held[0].SeriesInstanceUID
    images = answers(
        site,
        tmp_path / "i",
        "QueryRetrieveLevel=IMAGE",
        f"StudyInstanceUID={study}",
        f"SeriesInstanceUID={wanted}",
        "SOPInstanceUID",
    )
    assert {one.SOPInstanceUID for one in images} == {
        one.SOPInstanceUID for one in held if one.SeriesInstanceUID == wanted
    }


def test_findscu_narrows_by_wild_card_range_and_list(site: Site, tmp_path: Path) -> None:
    held = site.headers()
    patient = held[0].PatientID
    found = answers(site, tmp_path / "w", "QueryRetrieveLevel=STUDY", f"PatientID={patient[:8]}*", "StudyInstanceUID")
    assert {one.StudyInstanceUID for one in found} == {
        one.StudyInstanceUID for one in held if one.PatientID.startswith(patient[:8])
    }
    date = held[0].StudyDate
    found = answers(site, tmp_path / "r", "QueryRetrieveLevel=STUDY", f"StudyDate={date}-{date}", "StudyInstanceUID")
    assert held[0].StudyInstanceUID in {one.StudyInstanceUID for one in found}
    uids = sorted({str(one.StudyInstanceUID) for one in held})
    found = answers(site, tmp_path / "l", "QueryRetrieveLevel=STUDY", "StudyInstanceUID=" + "\\".join(uids))
    assert sorted(str(one.StudyInstanceUID) for one in found) == uids
    assert answers(site, tmp_path / "n", "QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3") == []


def test_getscu_gets_a_study_on_the_same_association_decompressed_where_it_must_be(site: Site, tmp_path: Path) -> None:
    rle = site.rle()
    study = rle.StudyInstanceUID
    held = [one for one in site.headers() if one.StudyInstanceUID == study]
    dcmtk(
        "getscu", site.provider.port, "-S", "-od", str(tmp_path), "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"StudyInstanceUID={study}",
    )  # fmt: skip
    got = {one.SOPInstanceUID: one for one in (pydicom.dcmread(file) for file in tmp_path.iterdir())}
    assert set(got) == {one.SOPInstanceUID for one in held}
    for one in held:
        np.testing.assert_array_equal(got[one.SOPInstanceUID].pixel_array, one.pixel_array)
        assert got[one.SOPInstanceUID].PatientID == one.PatientID
    assert not got[rle.SOPInstanceUID].file_meta.TransferSyntaxUID.is_compressed
    assert ("ae:VIEWER", study) in site.audited()


def test_movescu_has_a_study_sent_to_a_third_party_as_it_is_stored(site: Site, tmp_path: Path) -> None:
    rle = site.rle()
    study = rle.StudyInstanceUID
    held = [one for one in site.headers() if one.StudyInstanceUID == study]
    receiver = subprocess.Popen(
        [str(DCMTK["storescp"]), "--prefer-rle", "+xa", "-aet", "ARCHIVE", "-od", str(tmp_path), str(site.destination)],
        stderr=subprocess.DEVNULL,
    )
    try:
        _until_listening(site.destination)
        dcmtk(
            "movescu", site.provider.port, "-S", "-aem", "ARCHIVE", "-k", "QueryRetrieveLevel=STUDY",
            "-k", f"StudyInstanceUID={study}", title="ARCHIVE",
        )  # fmt: skip
    finally:
        receiver.terminate()
        receiver.wait()
    got = {one.SOPInstanceUID: one for one in (pydicom.dcmread(file) for file in tmp_path.iterdir())}
    assert set(got) == {one.SOPInstanceUID for one in held}
    assert got[rle.SOPInstanceUID].file_meta.TransferSyntaxUID == RLELossless
    assert got[rle.SOPInstanceUID].PixelData == rle.PixelData


def test_a_destination_that_nobody_named_gets_nothing(site: Site) -> None:
    study = str(site.headers()[0].StudyInstanceUID)
    before = len(site.audited())
    done = subprocess.run(
        [
            str(DCMTK["movescu"]), "-v", "-S", "-aet", "VIEWER", "-aec", TITLE, "-aem", "NOWHERE",
            "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}", "127.0.0.1", str(site.provider.port),
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "MoveDestinationUnknown" in done.stdout + done.stderr or "0xa801" in (done.stdout + done.stderr).lower()
    assert len(site.audited()) == before


def test_whoever_is_not_named_is_not_let_in(site: Site) -> None:
    with pytest.raises(AssociationRefused):
        studies_at(Peer("127.0.0.1", site.provider.port, TITLE), "STRANGER", study_uid="1.2")
    with pytest.raises(AssociationRefused):
        studies_at(Peer("127.0.0.1", site.provider.port, "OTHER"), "VIEWER", study_uid="1.2")


def test_our_own_client_walks_the_tree(site: Site) -> None:
    peer = Peer("127.0.0.1", site.provider.port, TITLE)
    held = site.headers()
    [study] = studies_at(peer, "VIEWER", study_uid=str(held[0].StudyInstanceUID))
    found = [
        instance.sop_uid
        for series in series_at(peer, "VIEWER", study.study_uid)
        for instance in instances_at(peer, "VIEWER", study.study_uid, series.series_uid)
    ]
    assert sorted(found) == sorted(
        str(one.SOPInstanceUID) for one in held if one.StudyInstanceUID == held[0].StudyInstanceUID
    )
    assert study.instances == len(found)


def test_a_study_that_still_comes_in_is_neither_found_nor_sent(site: Site, tmp_path: Path) -> None:
    study = str(site.headers()[0].StudyInstanceUID)
    with site.web.door.database.writing() as session:
        session.add(OpenStudy(study_uid=study, received_study=1))
    try:
        assert answers(site, tmp_path / "f", "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}") == []
        dcmtk(
            "getscu", site.provider.port, "-S", "-od", str(tmp_path), "-k", "QueryRetrieveLevel=STUDY",
            "-k", f"StudyInstanceUID={study}",
        )  # fmt: skip
        assert not list(tmp_path.glob("*.*"))
    finally:
        with site.web.door.database.writing() as session:
            session.delete(session.get(OpenStudy, study))


@pytest.mark.skipif(not orthanc.INSTALLED, reason="Orthanc isn't installed (Debian: orthanc)")
def test_orthanc_queries_and_has_a_study_sent_to_itself(site: Site, tmp_path: Path) -> None:
    rle = site.rle()
    pacs = orthanc.Orthanc(tmp_path, {TITLE: site.provider.port}, port=site.destination)
    pacs.start()
    try:
        with httpx.Client(base_url=pacs.url, timeout=60) as client:
            query = client.post(
                f"/modalities/{TITLE.lower()}/query",
                json={"Level": "Study", "Query": {"StudyInstanceUID": str(rle.StudyInstanceUID)}},
            ).json()
            assert client.get(f"/queries/{query['ID']}/answers").json() == ["0"]
            client.post(f"/queries/{query['ID']}/retrieve", content=pacs.title).raise_for_status()
            [study] = client.get("/studies?expand").json()
            instances = client.get(f"/studies/{study['ID']}/instances").json()
    finally:
        pacs.kill()
    assert study["MainDicomTags"]["StudyInstanceUID"] == rle.StudyInstanceUID
    held = [one for one in site.headers() if one.StudyInstanceUID == rle.StudyInstanceUID]
    assert {one["MainDicomTags"]["SOPInstanceUID"] for one in instances} == {one.SOPInstanceUID for one in held}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority", "hospital")


@pytest.fixture
def in_tls(site: Site, authority: Authority) -> Iterator[Peer]:
    """The same enclave in TLS, for VIEWER, and for ARCHIVE that listens in TLS."""
    own = authority.issue("node")
    archive = EnclaveArchive(site.web.door.database, site.web.catalogue, TITLE, site.web.door.clock)
    destination = Peer("127.0.0.1", site.destination, "ARCHIVE")
    provider = QueryProvider(
        TITLE, archive, {"VIEWER": Caller(), "ARCHIVE": Caller(destination, own.client())}, tls=own
    )
    provider.start()
    yield Peer("127.0.0.1", provider.port, TITLE)
    provider.stop()


def files(of: TlsSettings) -> tuple[str, ...]:
    return ("+tls", str(of.key), str(of.certificate), "+cf", str(of.trusted))


def test_in_tls_a_certificate_is_needed_and_one_who_stalls_holds_up_nobody(
    in_tls: Peer, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "elsewhere", "elsewhere").issue("stranger", trusted=authority.root)
    with socket.create_connection((in_tls.host, in_tls.port), timeout=5):
        dcmtk("echoscu", in_tls.port, *files(authority.issue("viewer")))
        for bad in ((), files(stranger)):
            command = [str(DCMTK["echoscu"]), "-aet", "VIEWER", "-aec", TITLE, *bad, "127.0.0.1", str(in_tls.port)]
            assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode != 0
        dcmtk("echoscu", in_tls.port, *files(authority.issue("viewer")))


def test_in_tls_a_study_is_found_and_got(site: Site, in_tls: Peer, authority: Authority) -> None:
    tls, shelf = authority.issue("viewer").client(), Shelf()
    uid = str(site.headers()[0].StudyInstanceUID)
    [study] = studies_at(in_tls, "VIEWER", study_uid=uid, tls=tls)
    retrieved = get(in_tls, "VIEWER", uid, shelf, called_ae="RESEARCH", sop_classes=study.sop_classes, tls=tls)
    expected = {str(one.SOPInstanceUID) for one in site.headers() if one.StudyInstanceUID == uid}
    assert (retrieved.failed, retrieved.completed, set(shelf.stored)) == (0, len(expected), expected)


def test_in_tls_a_study_is_moved_to_a_destination_in_tls(
    site: Site, in_tls: Peer, authority: Authority, tmp_path: Path
) -> None:
    uid = str(site.headers()[0].StudyInstanceUID)
    command = [str(DCMTK["storescp"]), "+xa", "-aet", "ARCHIVE", "-od", str(tmp_path / "got")]
    (tmp_path / "got").mkdir()
    receiver = subprocess.Popen([*command, *files(authority.issue("archive")), str(site.destination)])
    try:
        _until_listening(site.destination)
        moved = move(in_tls, "ARCHIVE", uid, "ARCHIVE", tls=authority.issue("asker").client())
    finally:
        receiver.terminate()
        receiver.wait()
    expected = {one.SOPInstanceUID for one in site.headers() if one.StudyInstanceUID == uid}
    assert (moved.status, moved.failed) == (0, 0)
    assert {pydicom.dcmread(file).SOPInstanceUID for file in (tmp_path / "got").iterdir()} == expected


def _until_listening(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
