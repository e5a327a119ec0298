"""The DICOMweb service over real HTTP: what is stored, who may call, and what a web page of elsewhere gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import select
from tests.web_lab import ORIGIN, Web, part10, segmentation, slices

from wardround.node.audit import Audit
from wardround.node.dicomweb.tokens import Scope, make, revoke
from wardround.node.optout.actions import add as opt_out
from wardround.node.optout.listing import read_list
from wardround.node.receive.route import StudyPath

JSON = "application/dicom+json"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path, largest=100_000)
    yield made
    made.close()


def stow(web: Web, *bodies: bytes, study: str = "", kind: str = "application/dicom", **headers: str) -> httpx.Response:
    lines = b"".join(b"--cut\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + body + b"\r\n" for body in bodies)
    given = {
        "Authorization": f"Bearer {web.write}",
        "Accept": JSON,
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=cut',
    }
    return web.http.post(
        f"/studies/{study}" if study else "/studies", content=lines + b"--cut--", headers=given | headers
    )


def reasons(answer: httpx.Response) -> list[int]:
    return [one["00081197"]["Value"][0] for one in answer.json().get("00081198", {}).get("Value", [])]


def test_what_is_stored_is_seen_de_identified_and_retrieved(web: Web) -> None:
    sent = [*slices(), segmentation()]
    answer = web.client(web.write).store_instances(sent)
    assert len(answer.ReferencedSOPSequence) == 5
    client = web.client(web.read)
    web.catalogue.catch_up()
    assert client.search_for_studies() == []
    web.door.tick()
    web.catalogue.catch_up()
    [found] = client.search_for_studies()
    uid = found["0020000D"]["Value"][0]
    assert uid != str(sent[0].StudyInstanceUID)
    assert found["00201208"]["Value"] == [5]
    series = client.search_for_series(uid, search_filters={"Modality": "MR"})
    [mr] = [one["0020000E"]["Value"][0] for one in series]
    objects = client.retrieve_series(uid, mr)
    assert [one.PixelData for one in objects] == [one.PixelData for one in sent[:4]]
    metadata = client.retrieve_series_metadata(uid, mr)
    assert {one["00080018"]["Value"][0] for one in metadata} == {str(one.SOPInstanceUID) for one in objects}


def test_each_object_of_a_message_is_answered_for_itself(web: Web) -> None:
    first, second = slices()[:2]
    whole = stow(web, part10(first))
    assert (whole.status_code, whole.headers["content-type"]) == (200, JSON)
    [taken] = whole.json()["00081199"]["Value"]
    assert taken["00081155"]["Value"] == [first.SOPInstanceUID]
    some = stow(web, part10(second), b"no object at all", part10(second)[:400])
    assert some.status_code == 202
    assert len(some.json()["00081199"]["Value"]) == 1 and len(reasons(some)) == 2
    none = stow(web, b"no object at all")
    assert (none.status_code, reasons(none)) == (409, [0xC000])
    other = stow(web, b"<x/>", kind="application/xml")
    assert (other.status_code, reasons(other)) == (409, [0x0122])


def test_an_object_of_another_study_than_the_address_names_is_refused(web: Web) -> None:
    first = slices()[0]
    assert stow(web, part10(first), study=str(first.StudyInstanceUID)).status_code == 200
    refused = stow(web, part10(slices()[1]), study=generate_uid())
    assert (refused.status_code, reasons(refused)) == (409, [0xC409])
    assert web.door.reception.settle(60)
    assert len(web.door.quarantined()) == 1


def test_other_content_under_a_uid_that_is_here_is_refused(web: Web) -> None:
    first = slices()[0]
    assert stow(web, part10(first)).status_code == 200
    first.PixelData = bytes(len(first.PixelData))
    assert reasons(stow(web, part10(first))) == [0xC001]


def test_a_message_that_cannot_be_taken_whole_is_refused_in_words(web: Web) -> None:
    body = part10(slices()[0])
    assert stow(web).status_code == 400
    assert stow(web, body, **{"Content-Type": "application/dicom"}).status_code == 415
    assert stow(web, body, **{"Content-Type": "multipart/related; boundary=other"}).status_code == 400
    assert stow(web, body, **{"Content-Type": 'multipart/related; type="application/dicom"'}).status_code == 400
    assert stow(web, body, Accept="text/html").status_code == 406
    assert stow(web, bytes(200_000)).status_code == 413
    assert stow(web, body, study="a-name").status_code == 400
    assert web.door.quarantined() == []


def test_a_token_opens_only_what_it_is_for(web: Web) -> None:
    def status(header: str | None) -> int:
        return web.http.get("/studies", headers={"Authorization": header} if header else {}).status_code

    assert [status(one) for one in (None, "Bearer", "Bearer wrong", f"Basic {web.read}")] == [401] * 4
    assert [status(f"Bearer {one}") for one in (web.write, web.read)] == [403, 204]
    assert stow(web, b"", Authorization=f"Bearer {web.read}").status_code == 403
    assert "www-authenticate" in web.http.get("/studies").headers
    assert web.http.get("/studies/1.2/rendered").status_code == 401
    revoke(web.door.database, "viewer", actor="operator:test")
    assert status(f"Bearer {web.read}") == 401


def test_what_a_clinical_token_stores_takes_the_clinical_path_alone(web: Web) -> None:
    token = make(web.door.database, "ct-gate", Scope.STORE, actor="operator:test", path=StudyPath.CLINIC)
    assert stow(web, part10(slices()[0]), Authorization=f"Bearer {token}").status_code == 200
    web.door.tick()
    assert web.catalogue.catch_up() == 0
    assert web.door.quarantined() == []
    assert len([file for file in web.door.clinical.rglob("*") if file.is_file() and file.stat().st_size]) == 1


def test_pages_of_the_named_origin_alone_may_read_answers(web: Web) -> None:
    def allowed(origin: str, method: str = "OPTIONS") -> str | None:
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET", "Authorization": f"Bearer {web.read}"}
        answer = web.http.request(method, "/studies", headers=headers)
        return answer.headers.get("access-control-allow-origin")

    for method in ("OPTIONS", "GET"):
        assert allowed(ORIGIN, method) == ORIGIN
        for other in ("https://viewer.example", f"{ORIGIN}.evil.example", "null", "http://viewer.example:3000"):
            assert allowed(other, method) is None
    # A page has to be able to read why it was refused.
    refused = web.http.get("/studies", headers={"Origin": ORIGIN})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)


def test_who_looked_and_who_stored_is_on_the_record(web: Web) -> None:
    web.client(web.write).store_instances(slices())
    web.door.tick()
    web.catalogue.catch_up()
    for address in web.instances():
        assert web.get(f"{address}/metadata").status_code == 200
    with web.door.database.reading() as session:
        rows = session.execute(select(Audit.actor, Audit.verb).where(Audit.actor.startswith("token:"))).all()
    assert [tuple(row) for row in rows] == [("token:sender", "store-objects"), ("token:viewer", "view-study")]


def test_a_patient_who_opts_out_is_gone_from_every_answer(web: Web) -> None:
    web.hold(slices())
    [address, *_] = web.instances()
    entries = read_list([f"local,{slices()[0].PatientID}"])
    opt_out(
        web.door.database,
        web.door.register,
        web.door.vault,
        entries,
        scheme=None,
        actor="operator:test",
        at=web.door.clock(),
    )
    assert web.instances() == []
    for path in ("/studies", "/series"):
        assert web.get(path).status_code == 204
    study = address.split("/series/")[0]
    for path in (
        address,
        f"{address}/frames/1",
        f"{address}/bulkdata/7FE00010",
        f"{study}/metadata",
        f"{study}/rendered",
    ):
        assert web.get(path).status_code == 404, path


def test_what_left_the_enclave_is_gone_from_every_answer(web: Web) -> None:
    web.hold(slices())
    [address, *_] = web.instances()
    for file in web.door.objects.root.rglob("*"):
        if file.is_file():
            file.unlink()
    for path in (address, f"{address}/frames/1", f"{address}/rendered", f"{address}/bulkdata/7FE00010"):
        answer = web.get(path, "multipart/related, image/png, application/octet-stream")
        assert answer.status_code == 404, path
        assert str(web.door.home) not in answer.text


def test_a_fault_of_the_program_tells_nothing(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Dataset:
        raise RuntimeError("PATIENT^NAME at /data/secret")

    monkeypatch.setattr(web.catalogue, "instances", broken)
    answer = web.get("/studies/1.2/metadata")
    assert answer.status_code == 500
    assert "PATIENT" not in answer.text and "secret" not in answer.text and "Traceback" not in answer.text
