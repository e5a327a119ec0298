"""What a site's FLARE client refuses, whatever the hub asks; and what its connections accept."""

from __future__ import annotations

import io
import json
import socket
import ssl
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_lab import PATIENCE, Authority, FlareFederation, small_model

from wardround.federation.engine import LegState
from wardround.federation.flare import hub
from wardround.federation.flare.site import FlareSite
from wardround.federation.provisioning import EXECUTOR, Identity, leg_job, write_hub_kit

SITES = ("alpha", "beta")
SECRET_CODE = "import pathlib; pathlib.Path('/tmp/wardround-must-not-exist').write_text('ran')"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlareFederation]:
    """Honest sites under a hub that was taken over: its own policy, which would stop such jobs, allows everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "write_hub_kit", write_lawless_hub_kit)
        built = FlareFederation(tmp_path_factory.mktemp("refusals"), SITES)
        yield built
        built.close()


def write_lawless_hub_kit(folder: Path, identity: Identity, host: str, port: int) -> None:
    write_hub_kit(folder, identity, host, port)
    policy = folder / "local/authorization.json"
    policy.write_text(policy.read_text().replace('"none"', '"any"'))


def submit(federation: FlareFederation, job_id: str, config: dict[str, Any], files: dict[str, str]) -> None:
    """What a hub that was taken over would do: hand any job it likes to its own server process."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, body in config.items():
            archive.writestr(f"leg/app/config/{name}", json.dumps(body))
        for name, text in files.items():
            archive.writestr(f"leg/app/{name}", text)
        archive.writestr("leg/meta.json", "{}")
    server = federation.flare._server
    assert server is not None
    server.send({"do": "submit", "job_id": job_id, "sites": list(SITES)}, content.getvalue())


def refusals_of(federation: FlareFederation, job_id: str, sites: int) -> set[tuple[str, str]]:
    def known() -> set[tuple[str, str]]:
        return {(site, refusal.reason) for site, refusal in federation.refusals if refusal.job_id == job_id}

    with federation.refused:
        federation.refused.wait_for(lambda: len(known()) >= sites, PATIENCE)
        return known()


def test_a_job_that_carries_code_is_refused_by_each_site_and_reported(federation: FlareFederation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=1)
    config = leg_job(run.next_leg().leg_id)

    submit(federation, "job-with-code", config, {"custom/bait.py": SECRET_CODE})

    assert refusals_of(federation, "job-with-code", 2) == {("alpha", "custom-code"), ("beta", "custom-code")}
    assert run.results == []


def test_a_job_that_names_another_class_is_refused_by_each_site_and_reported(federation: FlareFederation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=1)
    config = leg_job(run.next_leg().leg_id)
    other = "nvflare.app_common.executors.launcher_executor.LauncherExecutor"
    config["config_fed_client.json"] = json.loads(json.dumps(config["config_fed_client.json"]).replace(EXECUTOR, other))

    submit(federation, "job-with-class", config, {})

    told = refusals_of(federation, "job-with-class", 1)
    assert told
    assert {reason for _, reason in told} == {"forbidden-class"}
    assert run.results == []


def test_refusals_leave_the_site_ready_for_an_honest_leg(federation: FlareFederation) -> None:
    run = federation.hub.add(small_model(), sites=SITES, quorum=2, rounds=1)

    assert federation.run_leg(run).state is LegState.FINISHED


def test_a_site_cannot_pass_for_another(federation: FlareFederation, tmp_path: Path) -> None:
    """Mallory has a good certificate of the federation and calls itself beta, then waits to be let in."""
    mallory = replace(federation.authority.issue("mallory"), name="beta")
    honest = federation.clients["beta"]
    honest.stop()
    impostor = FlareSite(
        tmp_path / "flare",
        mallory,
        host="127.0.0.1",
        port=federation.flare.port,
        hub_name="hub",
        participant_port=tmp_path / "participant",
    )
    impostor.start()
    try:
        wait_for_line(federation.flare.workspace / "log.txt", "authenticated as 'mallory' but claimed endpoint 'beta'")
        assert federation.engine.connected() == {"alpha"}
        assert not impostor.status().connected
    finally:
        impostor.stop()
        honest.start()
    assert honest.wait_connected(PATIENCE)


def test_a_site_joins_only_the_hub_that_it_was_told(federation: FlareFederation, tmp_path: Path) -> None:
    other = FlareSite(
        tmp_path / "flare",
        federation.authority.issue("delta"),
        host="127.0.0.1",
        port=federation.flare.port,
        hub_name="another-hub",
        participant_port=tmp_path / "participant",
    )
    other.start()
    try:
        wait_for_line(tmp_path / "flare/log.txt", "another-hub")
        assert not other.status().connected
        assert "delta" not in federation.engine.connected()
    finally:
        other.stop()


def wait_for_line(file: Path, text: str) -> None:
    """Wait until a process has written ``text`` into its log."""
    until = time.monotonic() + PATIENCE
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < until, f"{text!r} never came"
        time.sleep(0.1)


@pytest.mark.parametrize("wanted", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_engine_speaks_tls_1_3_and_nothing_older(federation: FlareFederation, wanted: ssl.TLSVersion) -> None:
    identity = federation.clients["alpha"]._identity
    context = client_context(identity.root)
    context.load_cert_chain(identity.certificate, identity.key)
    context.minimum_version = context.maximum_version = wanted

    if wanted is ssl.TLSVersion.TLSv1_3:
        assert handshake(federation, context) == "TLSv1.3"
    else:
        with pytest.raises(ssl.SSLError):
            handshake(federation, context)


def test_the_engine_accepts_no_connection_without_a_certificate_of_the_federation(
    federation: FlareFederation, tmp_path: Path
) -> None:
    identity = federation.clients["alpha"]._identity
    stranger = Authority(tmp_path / "other").issue("alpha")
    for credentials in (None, stranger):
        context = client_context(identity.root)
        if credentials is not None:
            context.load_cert_chain(credentials.certificate, credentials.key)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(federation, context, wait=True)


def test_a_peer_that_connects_and_says_nothing_keeps_nobody_out(federation: FlareFederation) -> None:
    identity = federation.clients["alpha"]._identity
    context = client_context(identity.root)
    context.load_cert_chain(identity.certificate, identity.key)

    with socket.create_connection(("127.0.0.1", federation.flare.port), timeout=PATIENCE):
        assert handshake(federation, context) == "TLSv1.3"


def client_context(root: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(root))
    context.check_hostname = True
    return context


def handshake(federation: FlareFederation, context: ssl.SSLContext, *, wait: bool = False) -> str | None:
    """The version agreed on. With ``wait`` also what the server says next: in TLS 1.3 it refuses a client's
    certificate only after the client has finished."""
    with (
        socket.create_connection(("127.0.0.1", federation.flare.port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        if wait and not wrapped.recv(1):
            raise ConnectionError("closed")
        return wrapped.version()
