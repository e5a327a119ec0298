"""Results reach a PACS by STOW-RS as they would by C-STORE: each until it is taken, and none where nobody may look."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pydicom
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from sqlalchemy import select, update
from tests.clinic_lab import Clinic, ToyReader, made
from tests.clinic_lab import result as segmentation
from tests.intake_lab import until
from tests.integration.test_results_committed import whole_reading
from tests.orthanc import DICOMWEB, INSTALLED, running
from tests.tls_lab import Authority, in_front_of

from wardround.dicom.errors import PeerUnreachable
from wardround.foundation.web_server import WebServer
from wardround.node.clinic.tables import Deployment
from wardround.node.report import wiring
from wardround.node.report.pacs import PACS_PAUSE, PacsDelivery
from wardround.node.report.sending import LONGEST_PAUSE
from wardround.node.report.settings import ReportSettings, StowSettings
from wardround.node.report.shelf import Shelf
from wardround.node.report.stow import NOT_UNDERSTOOD, Stow
from wardround.node.report.tables import Output
from wardround.node.report.wiring import Reports, shelf_at


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    """One study was read by a model whose results the ward may see: three objects wait."""
    for one in made(tmp_path, package, ToyReader()):
        one.worker.answer = lambda *_: whole_reading()
        one.register()
        one.deploy()
        with one.node.database.writing() as session:
            session.execute(update(Deployment).values(stage="primary-reader"))
        one.arrive()
        one.pathway.ways = ()
        one.pathway.tick()
        yield one


def outputs(clinic: Clinic) -> list[Output]:
    with clinic.node.database.reading() as session:
        return list(session.scalars(select(Output).order_by(Output.id)))


def states(clinic: Clinic) -> list[tuple[str, str]]:
    return [(one.state, one.reason) for one in outputs(clinic)]


def home_with(clinic: Clinic, web: StowSettings, hub: str = "hub.example") -> Any:
    report = ReportSettings(dicomweb=web)
    settings = SimpleNamespace(pacs=None, hub=SimpleNamespace(host=hub), report=report)
    return SimpleNamespace(settings=settings, path=clinic.results.parent, database=clinic.node.database, site="guys")


@pytest.mark.skipif(not (INSTALLED and DICOMWEB.exists()), reason="Debian's orthanc-dicomweb is not installed")
def test_a_real_pacs_takes_every_object_over_tls_and_from_this_node_alone(clinic: Clinic, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca", "hospital"), Authority(tmp_path / "other", "stranger")
    node = authority.issue("node")
    # Debian's Orthanc ends when it is asked over HTTPS; hospitals have a proxy do that.
    with (
        running(tmp_path / "pacs", {}) as orthanc,
        in_front_of(orthanc.http_port, authority.issue("pacs")) as port,
    ):
        url = f"https://127.0.0.1:{port}/dicom-web"
        web = StowSettings(url=url, trusted=authority.root, certificate=node.certificate, key=node.key)
        for wrong in ({"trusted": stranger.root}, {"certificate": None, "key": None}):
            [(store, _)] = wiring._stores(home_with(clinic, web.model_copy(update=wrong)))
            assert PacsDelivery(clinic.node.database, clinic.results, store, clinic.node.clock).tick() == 0
            assert {state for state, _ in states(clinic)} == {"waiting"}, wrong
        reports = Reports(home_with(clinic, web), clinic.node.clock)
        reports.start()
        try:
            until(lambda: states(clinic) == [("sent", "")] * 3)
        finally:
            reports.stop()
        found = httpx.get(f"{orthanc.dicomweb}/instances", params={"includefield": "00080060"}).json()
        there = {one["00080018"]["Value"][0]: one["00080060"]["Value"][0] for one in found}
        assert there == {row.sop_instance: kind for row, kind in zip(outputs(clinic), ("SEG", "SR", "OT"), strict=True)}
    assert clinic.states() == [("delivered", "")]


def test_whom_a_delivery_trusts_may_be_replaced_while_the_node_serves(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca", "hospital"), Authority(tmp_path / "other", "stranger")
    pacs, trusted = authority.issue("pacs"), Path(shutil.copy(stranger.root, tmp_path / "trusted.pem"))
    app = FastAPI()
    app.get("/")(lambda: "here")
    server = WebServer(app, "pacs", host="127.0.0.1", port=0, certificate=pacs.certificate, key=pacs.key)
    server.start()
    try:
        url = f"https://127.0.0.1:{server.port}"
        with wiring._web_client(StowSettings(url=url, trusted=trusted), "dicomweb", {}) as client:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                client.get(url)
            shutil.copy(authority.root, trusted)
            assert client.get(url).json() == "here"
    finally:
        server.stop()


Answer = Callable[[httpx.Request, str], httpx.Response]


def stow(answer: Answer) -> Stow:
    """The way to a PACS that answers so: to a request, and the UID of the object in it."""

    def handle(request: httpx.Request) -> httpx.Response:
        part10 = request.content.partition(b"\r\n\r\n")[2]
        return answer(request, str(pydicom.dcmread(BytesIO(part10), specific_tags=["SOPInstanceUID"]).SOPInstanceUID))

    return Stow(httpx.Client(transport=httpx.MockTransport(handle)), "https://pacs/dw/")


def answering(clinic: Clinic, answer: Answer) -> PacsDelivery:
    return PacsDelivery(clinic.node.database, clinic.results, stow(answer), clinic.node.clock)


def said(status: int, tag: str, instance: str, **more: int) -> httpx.Response:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [instance]}}
    if more:
        item["00081197"] = {"vr": "US", "Value": [more["reason"]]}
    return httpx.Response(status, content=json.dumps({tag: {"vr": "SQ", "Value": [item]}}))


TAKEN, FAILED = "00081199", "00081198"


SILENT = "silent"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda uid: said(200, TAKEN, uid), None),
        (lambda _: httpx.Response(200), None),
        # Stored with a warning, as another class, say.
        (lambda uid: said(202, TAKEN, uid), None),
        # A server that answers 200 and stored nothing all the same.
        (lambda uid: said(200, FAILED, uid, reason=0xA900), 0xA900),
        (lambda uid: said(409, FAILED, uid, reason=0xA700), 0xA700),
        (lambda _: httpx.Response(409), NOT_UNDERSTOOD),
        (lambda _: httpx.Response(415), NOT_UNDERSTOOD),
        (lambda _: httpx.Response(202), SILENT),
        (lambda uid: said(200, TAKEN, uid + "1"), SILENT),
    ],
)
def test_what_a_server_says_decides_what_became_of_an_object(
    answer: Callable[[str], httpx.Response], status: int | str | None
) -> None:
    report = stow(lambda _, uid: answer(uid))([segmentation()])
    if status is None:
        assert (report.accepted, report.refused) == (("1.2.3",), ())
    else:
        [refused] = report.refused
        assert report.accepted == () and refused.sop_instance_uid == "1.2.3"
        assert refused.status == (None if status == SILENT else status)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 429, 500, 503])
def test_a_server_that_takes_nothing_now_has_refused_no_object(status: int) -> None:
    with pytest.raises(PeerUnreachable):
        stow(lambda *_: httpx.Response(status, headers={"Location": "https://elsewhere/"}))([segmentation()])


def test_one_object_that_is_refused_for_good_takes_no_other_with_it(clinic: Clinic) -> None:
    report = outputs(clinic)[1].sop_instance
    delivery = answering(clinic, lambda _, uid: httpx.Response(400) if uid == report else said(200, TAKEN, uid))
    for _ in range(3):
        delivery.tick()
        clinic.node.clock.time += LONGEST_PAUSE
    assert states(clinic) == [("sent", ""), ("refused", "pacs-refused"), ("sent", "")]
    assert clinic.states() == [("delivered", "")]


def test_a_server_that_is_away_is_left_alone_for_a_while_and_then_has_everything(clinic: Clinic) -> None:
    asked: list[str] = []
    away = [True]

    def answer(request: httpx.Request, uid: str) -> httpx.Response:
        asked.append(uid)
        if away[0]:
            raise httpx.ConnectError("away", request=request)
        assert request.url == "https://pacs/dw/studies"
        return said(200, TAKEN, uid)

    delivery = answering(clinic, answer)
    assert delivery.tick() == 0 and delivery.tick() == 0
    assert len(asked) == 1
    away[0] = False
    clinic.node.clock.time += PACS_PAUSE
    assert delivery.tick() == 1
    assert states(clinic) == [("sent", "")] * 3


def test_results_of_shadow_use_stay_here_where_examiners_have_no_address(clinic: Clinic) -> None:
    shelf = shelf_at(home_with(clinic, StowSettings(url="https://pacs/dw")))
    assert isinstance(shelf, Shelf) and not shelf.leaves("shadow") and shelf.leaves("triage")
    both = StowSettings(url="https://pacs/dw", examiners_url="https://pacs/examined")
    assert shelf_at(home_with(clinic, both)).leaves("shadow")


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"url": "http://pacs.example/dicom-web"}, "https"),
        ({"url": "https://x", "examiners_url": "http://pacs.example"}, "https"),
        ({"url": "https://x/dw", "examiners_url": "https://x/dw/"}, "where the ward looks"),
        ({"url": "https://x", "key": "k.pem"}, "together"),
        ({}, "url"),
    ],
)
def test_an_address_that_would_show_results_to_others_is_refused(settings: dict[str, str], mend: str) -> None:
    with pytest.raises(ValidationError, match=mend):
        StowSettings.model_validate(settings)


def test_the_hub_is_no_pacs(clinic: Clinic) -> None:
    with pytest.raises(Exception, match="names the hub"):
        Reports(home_with(clinic, StowSettings(url="https://hub.example/dw")), clinic.node.clock)
