"""A certificate that is replaced while a program serves is shown from the next connection on. Real sockets and TLS."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.tls_lab import Authority

from wardround.foundation.web_server import WebServer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    first = authority.issue("first")
    return Path(shutil.copy(first.certificate, tmp_path / "crt")), Path(shutil.copy(first.key, tmp_path / "key"))


@pytest.fixture
def server(files: tuple[Path, Path]) -> Iterator[WebServer]:
    app = FastAPI()
    app.get("/")(lambda: "here")
    made = WebServer(app, "pages", host="127.0.0.1", port=0, certificate=files[0], key=files[1])
    made.start()
    yield made
    made.stop()


def connected(port: int, root: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=root)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")


def shown(port: int, root: Path) -> bytes | None:
    with closing(connected(port, root)) as connection:
        return connection.getpeercert(binary_form=True)


def der(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


def test_the_next_connection_gets_the_new_certificate_and_an_open_one_goes_on(
    server: WebServer, files: tuple[Path, Path], authority: Authority
) -> None:
    first, second = der(files[0]), authority.issue("second")
    assert shown(server.port, authority.root) == first
    with closing(connected(server.port, authority.root)) as before:
        shutil.copy(second.certificate, files[0])
        shutil.copy(second.key, files[1])
        assert shown(server.port, authority.root) == der(second.certificate) != first
        before.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := before.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")


def test_while_the_files_dont_fit_each_other_the_ones_before_are_used(
    server: WebServer, files: tuple[Path, Path], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    first, third = der(files[0]), authority.issue("third")
    for state in (third.certificate.read_bytes(), b"no certificate", None):
        if state is None:
            files[0].unlink()
        else:
            files[0].write_bytes(state)
        assert shown(server.port, authority.root) == shown(server.port, authority.root) == first
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 3 and "is used until that is mended" in told[0].message
    shutil.copy(third.certificate, files[0])
    shutil.copy(third.key, files[1])
    assert shown(server.port, authority.root) == der(third.certificate)


def test_dicom_over_tls_shows_and_trusts_what_was_replaced(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours", "ours"), Authority(tmp_path / "theirs", "theirs")
    caller = ours.issue("caller")
    receiver, sender = ours.issue("receiver").server(), caller.client()

    def meet() -> bytes | None:
        near, far = socket.socketpair()
        with near, far, ThreadPoolExecutor(1) as pool:
            accepted = pool.submit(receiver.wrap_socket, near, server_side=True)
            with sender.wrap_socket(far, server_hostname="127.0.0.1"), accepted.result() as taken:
                return taken.getpeercert(binary_form=True)

    assert meet() == der(caller.certificate)
    ours.issue("receiver")
    replaced = theirs.issue("caller")
    shutil.copy(replaced.certificate, caller.certificate)
    shutil.copy(replaced.key, caller.key)
    (tmp_path / "both.pem").write_bytes(ours.root.read_bytes() + theirs.root.read_bytes())
    shutil.copy(tmp_path / "both.pem", ours.root)
    assert meet() == der(replaced.certificate)
