"""`[wire]` of `node.toml`: each line changes what a sender meets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests import wire_lab as lab
from tests.tls_lab import Authority
from tests.wire_lab import Caller, Shelf

from wardround.dicom.network import AssociationRefused, Peer, PeerUnreachable, StorageReceiver, echo
from wardround.node.settings import NodeSettings
from wardround.node.wire import wire_terms


@pytest.fixture
def port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def receiver(port: int, **wire: Any) -> StorageReceiver:
    settings = NodeSettings.model_validate(
        {
            "site": "north",
            "federation": "test",
            "hub": {"host": "hub.example", "api_port": 1},
            "dicom": {"port": port, "ae_title": "RESEARCH", "clinic_ae_title": "CLINIC"},
            "wire": wire,
        }
    )
    return wire_terms(settings).receiver(Shelf())


def test_out_of_the_box_anyone_may_send_to_both_titles(port: int) -> None:
    with receiver(port):
        for title in ("RESEARCH", "CLINIC"):
            echo(Peer("127.0.0.1", port, title), "ANYONE")


def test_senders_are_those_listed(port: int) -> None:
    with receiver(port, senders=["MODALITY"]):
        echo(Peer("127.0.0.1", port, "RESEARCH"), "MODALITY")
        with pytest.raises(AssociationRefused, match="calling"):
            echo(Peer("127.0.0.1", port, "RESEARCH"), "ANYONE")


@pytest.mark.parametrize("wire", [{"extra_sop_classes": ["1.2.999.77"]}, {"accept_unknown": True}])
def test_private_classes_are_taken_where_a_setting_says_so(port: int, wire: dict[str, Any]) -> None:
    request = lab.associate_rq(contexts=[(1, "1.2.999.77", (lab.EXPLICIT,))])
    accepted = bytes((1, 0, 0, 0))
    for settings, taken in (({}, False), (wire, True)):
        with receiver(port, **settings), Caller(port) as caller:
            assert (accepted in caller.associate(request)[74:]) is taken


def test_room_and_times_are_set(port: int) -> None:
    with receiver(port, associations=1, idle_seconds=0.2), Caller(port) as caller, Caller(port) as other:
        caller.associate()
        other.send(lab.associate_rq())
        assert other.read() == (lab.RJ, bytes((0, 2, 3, 2)))
        assert caller.read() == (lab.RELEASE_RQ, bytes(4))


def test_tls_is_spoken_once_it_is_set(port: int, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "hospital")
    ours, theirs = authority.issue("node"), authority.issue("modality")
    peer = Peer("127.0.0.1", port, "RESEARCH")
    paths = {"tls_certificate": ours.certificate, "tls_key": ours.key, "tls_trusted": ours.trusted}
    with receiver(port, **paths):
        echo(peer, "MODALITY", tls=theirs.client())
        with pytest.raises(PeerUnreachable):
            echo(peer, "MODALITY")
    del paths["tls_key"]
    with pytest.raises(ValidationError, match="TLS needs all"):
        receiver(port, **paths)


@pytest.mark.parametrize(
    "wire", [{"senders": ["A TITLE OF TOO MANY"]}, {"extra_sop_classes": ["CT"]}, {"asociations": 3}]
)
def test_what_is_wrong_in_it_is_refused(port: int, wire: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        receiver(port, **wire)
