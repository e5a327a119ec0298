"""The door itself: who can't even speak to the hub, and what is refused before anything is done with it."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.federation_lab import HubLab

from wardround.contracts.frame import MEDIA_TYPE, pack
from wardround.contracts.outbound import Acknowledged, LocalModel, ObjectFound, ObjectRequest, TaskPoll, TaskReport
from wardround.foundation.certificates import Root, make_key, make_request, pem
from wardround.foundation.clock import now
from wardround.foundation.errors import NotFound
from wardround.hub.api.exchange import Caller
from wardround.node.gateway.errors import HubFailed, HubRefused, MayNotLeave
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome

POLL = pack(TaskPoll(after=0, wait_seconds=0, version="test").model_dump_json().encode())
HEADERS = {"content-type": MEDIA_TYPE}


class Door:
    def __init__(self, lab: HubLab, home: NodeHome) -> None:
        self.lab = lab
        self.home = home
        self.models: list[tuple[str, LocalModel, bytes]] = []

    def context(self, identity: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.lab.home.root_certificate))
        if identity is not None:
            context.load_cert_chain(*identity)
        return context

    def post(
        self, identity: tuple[Path, Path] | None, body: bytes, *, path: str = "/v1/exchange", port: int | None = None
    ) -> httpx.Response:
        url = f"https://127.0.0.1:{port or self.lab.home.settings.api_port}{path}"
        return httpx.post(url, content=body, headers=HEADERS, verify=self.context(identity), trust_env=False)

    @property
    def member(self) -> tuple[Path, Path]:
        return self.home.certificate, self.home.key


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    lab = HubLab(tmp_path_factory.mktemp("door"))
    hub = lab.start()
    door = Door(lab, lab.node("member"))

    def keep(caller: Caller, message: LocalModel, attachment: bytes) -> Acknowledged:
        door.models.append((caller.site, message, attachment))
        return Acknowledged()

    def give(_caller: Caller, message: ObjectRequest, _attachment: bytes) -> tuple[ObjectFound, bytes]:
        if message.digest == "0" * 64:
            raise NotFound("there is no such object; ask the run's researcher", code="object-unknown")
        if message.digest == "1" * 64:
            raise RuntimeError("at /srv/hub/objects")
        return ObjectFound(digest=message.digest), bytes(range(256)) * 40_000

    handlers = hub.exchange._handlers
    handlers[LocalModel], handlers[ObjectRequest] = keep, give
    yield door
    lab.stop()


def _code(response: httpx.Response) -> str:
    return str(json.loads(response.text)["code"])


def test_a_member_is_answered(door: Door) -> None:
    assert door.post(door.member, POLL).status_code == 200


def test_without_a_certificate_no_word_is_exchanged(door: Door) -> None:
    with pytest.raises(httpx.TransportError):
        door.post(None, POLL)


def test_with_another_roots_certificate_no_word_is_exchanged(door: Door, tmp_path: Path) -> None:
    other = Root.make("testing", tmp_path / "root.crt", tmp_path / "root.key", now())
    key = make_key(tmp_path / "key")
    forged = other.issue_site(make_request(key, "member"), "member", now(), timedelta(hours=1))
    (tmp_path / "crt").write_text(pem(forged))
    with pytest.raises(httpx.TransportError):
        door.post((tmp_path / "crt", tmp_path / "key"), POLL)


def test_the_hubs_own_certificates_are_no_sites(door: Door) -> None:
    """The engine's processes at the hub hold certificates of the same root; none of them speaks for a hospital."""
    home = door.lab.home
    for identity in [(home.server_certificate, home.server_key), (home.admin_certificate, home.admin_key)]:
        response = door.post(identity, POLL)
        assert response.status_code == 403
        assert _code(response) == "not-a-site"


@pytest.mark.parametrize("port", ["api_port", "enrol_port"])
def test_nothing_older_than_tls_1_3(door: Door, port: str) -> None:
    context = door.context(door.member)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    address = ("127.0.0.1", getattr(door.lab.home.settings, port))
    with socket.create_connection(address) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_the_enrolment_port_takes_requests_to_join_and_nothing_else(door: Door) -> None:
    response = door.post(door.member, POLL, port=door.lab.home.settings.enrol_port)
    assert response.status_code == 403
    assert _code(response) == "not-a-member"


def test_another_version_is_refused_by_name(door: Door) -> None:
    response = door.post(door.member, POLL, path="/v2/exchange")
    assert response.status_code == 404
    assert _code(response) == "other-version"
    assert "version 1" in response.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00",
        b"\xff\xff\xff\xff",
        pack(b"{}"),
        pack(b"[]"),
        pack(b'{"kind":"copy-everything"}'),
        pack(b"\xff"),
    ],
    ids=["empty", "short", "endless", "nothing", "a-list", "unknown", "no-utf8"],
)
def test_what_isnt_a_message_is_refused(door: Door, body: bytes) -> None:
    response = door.post(door.member, body)
    assert response.status_code == 400
    assert _code(response) == "body-refused"


def test_a_body_larger_than_its_kind_allows_is_refused(door: Door) -> None:
    response = door.post(door.member, POLL + b"x" * 4096)
    assert response.status_code == 400
    assert _code(response) == "body-refused"


def test_an_attachment_comes_whole_in_both_directions(door: Door) -> None:
    gateway = Gateway(door.home)
    weights = bytes(range(251)) * 50_000
    message = LocalModel(project="p1", run="r1", digest="a" * 64, steps=1, entry=0)
    assert gateway.send(message, weights) == (Acknowledged(), b"")
    assert door.models == [("member", message, weights)]
    reply, found = gateway.send(ObjectRequest(digest="b" * 64))
    assert reply == ObjectFound(digest="b" * 64)
    assert found == bytes(range(256)) * 40_000
    gateway.close()


def test_a_handlers_refusal_arrives_with_its_code_and_mend(door: Door) -> None:
    gateway = Gateway(door.home)
    with pytest.raises(HubRefused, match="ask the run's researcher") as refused:
        gateway.send(ObjectRequest(digest="0" * 64))
    assert refused.value.code == "object-unknown"
    gateway.close()


def test_a_failure_of_the_hub_tells_nothing_of_its_inside(door: Door) -> None:
    gateway = Gateway(door.home)
    with pytest.raises(HubFailed) as failed:
        gateway.send(ObjectRequest(digest="1" * 64))
    assert "/srv" not in str(failed.value)
    gateway.close()


def test_a_report_on_another_sites_task_is_refused(door: Door) -> None:
    gateway = Gateway(door.home)
    with pytest.raises(HubRefused) as refused:
        gateway.send(TaskReport(number=999_999, outcome="done"))
    assert refused.value.code == "task-unknown"
    gateway.close()


def test_an_attachment_beside_a_kind_that_has_none_doesnt_leave(door: Door) -> None:
    gateway = Gateway(door.home)
    with pytest.raises(MayNotLeave):
        gateway.send(TaskReport(number=1, outcome="done"), b"image")
    gateway.close()


def test_a_home_that_was_copied_has_its_own_key_or_nothing(door: Door, tmp_path: Path) -> None:
    """A certificate without its key proves nothing."""
    shutil.copy(door.home.certificate, tmp_path / "crt")
    make_key(tmp_path / "key")
    with pytest.raises(ssl.SSLError):
        door.post((tmp_path / "crt", tmp_path / "key"), POLL)
