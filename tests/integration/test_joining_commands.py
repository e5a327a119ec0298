"""The commands of operator and engineer, as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.federation_lab import PATIENCE, free_ports

COMMAND = [sys.executable, "-c", "from wardround.cli.main import run; run()"]


def wardround(*arguments: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
    finished = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE * 2, check=False
    )
    assert (finished.returncode == 0) is ok, finished.stderr + finished.stdout
    return finished


@contextmanager
def serving(*arguments: object, ready: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*COMMAND, *map(str, arguments), "--ready-file", str(ready)])
    try:
        pause = threading.Event()
        for _ in range(PATIENCE * 20):
            if ready.exists() or process.poll() is not None:
                break
            pause.wait(0.05)
        assert process.poll() is None, "it ended instead of serving"
        assert ready.exists(), "it isn't ready"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("operator") / "hub"
    api, enrol, engine = free_ports(3)
    made = wardround(
        *("hub", "init", "--home", home, "--name", "testing", "--host", "localhost", "--listen", "127.0.0.1"),
        *("--api-port", api, "--enrol-port", enrol, "--engine-port", engine),
    )
    assert "hub serve" in made.stdout
    return home


def test_from_nothing_to_a_member_that_is_heard(hub: Path, tmp_path: Path) -> None:
    node = tmp_path / "node"
    (dicom_port,) = free_ports(1)
    with ExitStack() as stack:
        hub_process = stack.enter_context(serving("hub", "serve", "--home", hub, ready=tmp_path / "hub-ready"))
        token = wardround("hub", "invite", "north", "--home", hub).stdout.strip()
        joined = wardround("node", "join", token, "--home", node, "--dicom-port", dicom_port)
        assert "as site 'north'" in joined.stdout
        again = wardround("node", "join", token, "--home", node, ok=False)
        assert "wardround node serve" in again.stderr
        assert again.stderr.count("\n") == 1
        node_process = stack.enter_context(serving("node", "serve", "--home", node, ready=tmp_path / "node-ready"))
        twice = wardround("node", "serve", "--home", node, ok=False)
        assert "another process serves" in twice.stderr
        pause = threading.Event()
        for _ in range(PATIENCE * 2):
            (line,) = json.loads(wardround("hub", "sites", "--home", hub, "--json").stdout)
            if line["last_heard"]:
                break
            pause.wait(0.2)
        assert line["last_heard"]
        assert line["state"] == "member"
        assert "north" in wardround("hub", "sites", "--home", hub).stdout

        for process, stop in ((node_process, signal.SIGTERM), (hub_process, signal.SIGINT)):
            os.kill(process.pid, stop)
            assert process.wait(PATIENCE) == 0

    egress = json.loads(wardround("node", "egress", "--home", node, "--json").stdout)
    assert egress["totals"]["join-request"]["messages"] == 1
    assert egress["totals"]["task-poll"]["messages"] >= 1
    assert egress["bytes_out"] == sum(total["bytes"] for total in egress["totals"].values())
    shown = wardround("node", "egress", "--home", node).stdout
    assert "What left this node" in shown
    for log in (hub / "log" / "hub.log", node / "log" / "node.log"):
        assert "stopped" in log.read_text()


def test_a_revoked_site_is_listed_with_its_reason(hub: Path) -> None:
    wardround("hub", "invite", "south", "--home", hub)
    wardround("hub", "revoke", "south", "--reason", "left the consortium", "--home", hub)
    assert "revoked" in wardround("hub", "sites", "--home", hub).stdout
    refused = wardround("hub", "invite", "south", "--home", hub, ok=False)
    assert "new name" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (("hub", "sites", "--home", "/nowhere"), "wardround hub init"),
        (("node", "egress", "--home", "/nowhere"), "wardround node join"),
        (("node", "join", "not-a-token", "--home", "/nowhere"), "copy all of it"),
    ],
)
def test_a_mistake_is_one_line_that_says_the_mend(arguments: tuple[str, ...], mend: str) -> None:
    finished = wardround(*arguments, ok=False)
    assert finished.stderr.startswith("wardround: ")
    assert finished.stderr.count("\n") == 1
    assert mend in finished.stderr


def test_a_misspelt_setting_stops_the_hub_before_it_serves(hub: Path) -> None:
    settings = hub / "hub.toml"
    kept = settings.read_text()
    settings.write_text(kept + "certificate_hour = 1\n")
    refused = wardround("hub", "serve", "--home", hub, ok=False)
    settings.write_text(kept)
    assert "certificate_hour" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_named(hub: Path, tmp_path: Path) -> None:
    with serving("hub", "serve", "--home", hub, ready=tmp_path / "ready"):
        refused = wardround("hub", "serve", "--home", hub, ok=False)
    assert "can't listen on 127.0.0.1 port" in refused.stderr
    assert "hub.toml" in refused.stderr
