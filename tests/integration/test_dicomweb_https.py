"""DICOMweb over HTTPS, answers in part, and the same answers from PostgreSQL."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.uid import RLELossless
from tests.tls_lab import Authority
from tests.web_lab import Web, enlarged, segmentation, slices

from wardround.foundation.web_server import WebServer
from wardround.node.dicomweb.service import Parts, application


@pytest.fixture
def web(tmp_path: Path, database_url: str) -> Iterator[Web]:
    made = Web(tmp_path, url=database_url)
    yield made
    made.close()


def test_it_speaks_tls_alone_where_it_has_a_certificate(tmp_path: Path) -> None:
    web = Web(tmp_path)
    authority = Authority(tmp_path / "authority", "hospital")
    own = authority.issue("node")
    parts = Parts(web.door.database, web.catalogue, web.door.reception, {}, web.door.clock)
    server = WebServer(
        application(parts), "dicomweb", host="127.0.0.1", port=0, certificate=own.certificate, key=own.key
    )
    server.start()
    try:
        headers = {"Authorization": f"Bearer {web.read}"}
        trusted = ssl.create_default_context(cafile=str(authority.root))
        address = f"https://127.0.0.1:{server.port}/dicom-web/studies"
        assert httpx.get(address, headers=headers, verify=trusted).status_code == 204
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(address, headers=headers)
        with pytest.raises(httpx.HTTPError):
            httpx.get(address.replace("https", "http"), headers=headers)
    finally:
        server.stop()
        web.close()


def test_what_cannot_be_given_in_the_form_asked_is_left_out_and_said_so(web: Web) -> None:
    sent = slices()
    enlarged(sent[0])
    sent[0].compress(RLELossless, generate_instance_uid=False)
    web.hold(sent)
    study = web.instances()[0].split("/series/")[0]
    as_rle = f'multipart/related; type="application/dicom"; transfer-syntax={RLELossless}'
    some = web.get(study, as_rle)
    assert some.status_code == 206
    assert some.content.count(b"Content-Type: application/dicom") == 1
    everything = web.get(study, 'multipart/related; type="application/dicom"; transfer-syntax=*')
    assert everything.status_code == 200
    assert everything.content.count(b"Content-Type: application/dicom") == len(sent)


def test_searches_and_retrievals_hold_on_either_database(web: Web) -> None:
    web.hold([*slices(), segmentation(), *slices(1)])
    studies = web.get("/studies").json()
    assert len(studies) == 2
    patient, date = studies[0]["00100020"]["Value"][0], studies[0]["00080020"]["Value"][0]
    for keys in (
        {"PatientID": patient},
        {"PatientID": patient[:-1] + "?"},
        {"StudyInstanceUID": studies[0]["0020000D"]["Value"][0]},
    ):
        assert [one["00100020"]["Value"][0] for one in web.get("/studies", **keys).json()] == [patient]
    assert patient in {one["00100020"]["Value"][0] for one in web.get("/studies", StudyDate=f"{date}-{date}").json()}
    assert len(web.get("/studies", ModalitiesInStudy="SEG").json()) == 1
    assert len(web.get("/instances", limit="2", offset="1").json()) == 2
    for address in web.instances():
        [header] = web.get(f"{address}/metadata").json()
        assert header["00080018"]["Value"][0] == address.rsplit("/", 1)[1]
        assert web.get(f"{address}/rendered").status_code == 200
