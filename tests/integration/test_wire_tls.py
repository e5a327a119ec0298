"""DICOM over TLS with dcmtk's clients: both sides show certificates, nobody gets in without, nobody is held up."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from tests import wire_lab as lab
from tests.tls_lab import Authority
from tests.wire_lab import Caller, Shelf

from wardround.dicom.header_meta import file_meta
from wardround.dicom.network import (
    Limits,
    Peer,
    PeerUnreachable,
    StorageReceiver,
    TlsRefused,
    TlsSettings,
    echo,
    send,
)

BIN = Path("/usr/bin")
dcmtk = pytest.mark.skipif(not (BIN / "storescu").exists(), reason="dcmtk isn't installed")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"), "hospital")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, hospital: Authority) -> TlsSettings:
    """Trusts the hospital, and isn't trusted by it."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger").issue("stranger", trusted=hospital.root)


@pytest.fixture(scope="module", params=[False, True], ids=["ec", "rsa"])
def node(request: pytest.FixtureRequest, hospital: Authority) -> TlsSettings:
    return hospital.issue("node", rsa_key=request.param)


@pytest.fixture(scope="module")
def modality(hospital: Authority) -> TlsSettings:
    return hospital.issue("modality")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def receiver(shelf: Shelf, node: TlsSettings) -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH"], landing=shelf, tls=node) as running:
        yield running


def scu(tool: str, receiver: StorageReceiver, shown: TlsSettings | None, *more: str) -> int:
    options = ["-aec", "RESEARCH"]
    if shown:
        options += ["+tls", str(shown.key), str(shown.certificate), "+cf", str(shown.trusted)]
    tail = [one for one in more if not one.startswith(("+", "-"))]
    flags = [one for one in more if one.startswith(("+", "-"))]
    command = [str(BIN / tool), *options, *flags, "127.0.0.1", str(receiver.port), *tail]
    environment = dict(os.environ, TCP_NODELAY="1")
    return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode


def instance(size: int = 300_000) -> bytes:
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = lab.MR, "1.2.999.5.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.999.1", "1.2.999.2"
    dataset.EncapsulatedDocument = bytes(range(250)) * (size // 250)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    return file_meta(lab.MR, dataset.SOPInstanceUID, lab.EXPLICIT) + buffer.getvalue()


@dcmtk
@pytest.mark.parametrize("profile", ["+py", "+px"])
def test_dcmtk_stores_over_tls(
    receiver: StorageReceiver, shelf: Shelf, modality: TlsSettings, tmp_path: Path, profile: str
) -> None:
    file = tmp_path / "one.dcm"
    file.write_bytes(instance())
    assert scu("storescu", receiver, modality, profile, "-R", str(file)) == 0
    assert instance().endswith(shelf.stored["1.2.999.5.1"])
    assert len(shelf.stored["1.2.999.5.1"]) > 300_000
    assert scu("echoscu", receiver, modality) == 0


@dcmtk
def test_nobody_gets_in_without_a_trusted_certificate(
    receiver: StorageReceiver, shelf: Shelf, modality: TlsSettings, stranger: TlsSettings, tmp_path: Path
) -> None:
    file = tmp_path / "one.dcm"
    file.write_bytes(instance())
    for shown in (None, stranger):
        assert scu("storescu", receiver, shown, "-R", str(file)) != 0
    assert scu("echoscu", receiver, modality) == 0
    assert shelf.headers == []
    assert receiver.counts()["tls-failed"] == 2
    assert receiver.counts()["associations"] == 1


def client(settings: TlsSettings | None, trusted: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(trusted))
    if settings:
        context.load_cert_chain(settings.certificate, settings.key)
    return context


def test_a_client_with_no_certificate_is_refused_unless_none_is_required(
    hospital: Authority, shelf: Shelf, node: TlsSettings
) -> None:
    anonymous = client(None, hospital.root)
    with StorageReceiver(["RESEARCH"], landing=shelf, tls=node) as receiver:
        # In TLS 1.3 the client learns of it with its first read.
        with (
            pytest.raises((ssl.SSLError, ConnectionError, AssertionError)),
            socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as plain,
            Caller(0, connection=anonymous.wrap_socket(plain, server_hostname="localhost")) as caller,
        ):
            caller.associate()
        assert "associations" not in receiver.counts()
    lenient = TlsSettings(node.certificate, node.key, node.trusted, required=False)
    with (
        StorageReceiver(["RESEARCH"], landing=shelf, tls=lenient) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as plain,
        Caller(0, connection=anonymous.wrap_socket(plain, server_hostname="localhost")) as caller,
    ):
        caller.associate()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "ciphers", "taken"),
    [
        (ssl.TLSVersion.TLSv1_3, "", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384", False),
        (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384", False),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
    ],
)
def test_only_what_bcp_195_recommends_is_spoken(
    hospital: Authority,
    receiver: StorageReceiver,
    modality: TlsSettings,
    version: ssl.TLSVersion,
    ciphers: str,
    taken: bool,
) -> None:
    """RFC 9325 sections 3.1 and 4.2."""
    context = client(modality, hospital.root)
    if ciphers:
        context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as plain:
        if not taken:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname="localhost")
            return
        with Caller(0, connection=context.wrap_socket(plain, server_hostname="localhost")) as caller:
            caller.associate()
            caller.send(lab.store(bytes(100_000), size=16_000))
            assert caller.status() == 0


def test_a_handshake_that_stands_still_holds_up_nobody(
    hospital: Authority, shelf: Shelf, node: TlsSettings, modality: TlsSettings
) -> None:
    limits = Limits(artim_seconds=2.0)
    with (
        StorageReceiver(["RESEARCH"], landing=shelf, tls=node, limits=limits, associations=1) as receiver,
        Caller(receiver.port) as silent,
        Caller(receiver.port) as half,
    ):
        half.send(b"\x16\x03\x01\x02\x00\x01")
        echo(Peer("127.0.0.1", receiver.port, "RESEARCH"), "SENDER", tls=modality.client())
        # Both are cut off once their time is over.
        assert silent.rest() == []
        assert half.rest() == []
    assert receiver.counts()["tls-failed"] == 2


def test_a_receiver_stops_while_handshakes_stand_still(shelf: Shelf, node: TlsSettings) -> None:
    receiver = StorageReceiver(["RESEARCH"], landing=shelf, tls=node)
    receiver.start()
    with Caller(receiver.port) as silent:
        receiver.stop()
        assert silent.rest() == []


def test_we_send_over_tls_to_whom_we_trust(
    receiver: StorageReceiver, shelf: Shelf, modality: TlsSettings, stranger: TlsSettings, hospital: Authority
) -> None:
    peer = Peer("127.0.0.1", receiver.port, "RESEARCH")
    assert send([instance()], peer, "SENDER", tls=modality.client()).complete
    suspicious = TlsSettings(modality.certificate, modality.key, stranger.certificate)
    with pytest.raises(PeerUnreachable):
        echo(peer, "SENDER", tls=suspicious.client())


def test_files_that_cannot_be_used_are_told_without_their_names(
    hospital: Authority, node: TlsSettings, modality: TlsSettings, tmp_path: Path
) -> None:
    sealed = hospital.issue("sealed", password="secret")
    broken = [
        TlsSettings(tmp_path / "absent", node.key, node.trusted),
        TlsSettings(node.certificate, modality.key, node.trusted),
        TlsSettings(node.certificate, node.key, node.key),
        sealed,
    ]
    for settings in broken:
        with pytest.raises(TlsRefused, match="check") as caught:
            StorageReceiver(["RESEARCH"], landing=Shelf(), tls=settings)
        assert str(tmp_path) not in str(caught.value)
