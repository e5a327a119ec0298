"""The start-up material of FLARE's processes: what a site allows, and whose hands keys are in."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from wardround.federation.provisioning import CONTROLLER, EXECUTOR, Identity, leg_job, write_hub_kit, write_site_kit


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    for name in ("key", "crt", "root"):
        (tmp_path / name).write_text(name)
    return Identity("alpha", tmp_path / "key", tmp_path / "crt", tmp_path / "root")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_site_grants_the_hub_its_own_jobs_and_nobody_anything_else(tmp_path: Path, identity: Identity) -> None:
    kit = tmp_path / "kit"
    write_site_kit(kit, identity, "127.0.0.1", 4001, "hub")

    permissions = read(kit / "local/authorization.json")["permissions"]
    assert list(permissions) == ["hub"]
    assert {right for right, grant in permissions["hub"].items() if grant != "none"} == {"submit_job"}
    resources = read(kit / "local/resources.json")
    assert resources["class_allow_list"] == [EXECUTOR]
    assert resources["class_list_enforcement_mode"] == "enforce"
    assert resources["allow_log_streaming"] is False


def test_a_kit_expects_mutual_tls_and_opens_no_port_of_its_own(tmp_path: Path, identity: Identity) -> None:
    kit = tmp_path / "kit"
    write_site_kit(kit, identity, "127.0.0.1", 4001, "hub-name")

    client = read(kit / "startup/fed_client.json")
    assert client["client"]["connection_security"] == "mtls"
    assert client["servers"][0]["identity"] == "hub-name"
    assert client["servers"][0]["service"]["target"] == "127.0.0.1:4001"
    internal = read(kit / "local/comm_config.json")
    assert internal["internal"]["scheme"] == "local"
    assert Path(internal["internal"]["resources"]["folder"]).stat().st_mode & 0o777 == 0o700
    assert internal["allow_adhoc_conns"] is False


@pytest.mark.parametrize("role", ["hub", "site"])
def test_keys_are_for_their_owner_alone_and_an_older_kit_is_gone(tmp_path: Path, identity: Identity, role: str) -> None:
    kit = tmp_path / "kit"
    (kit / "jobs/stale-job").mkdir(parents=True)
    (kit / "old.json").write_text("{}")
    (kit / "server.log").write_text("kept")

    if role == "hub":
        write_hub_kit(kit, identity, "127.0.0.1", 4001)
    else:
        write_site_kit(kit, identity, "127.0.0.1", 4001, "hub")

    (key,) = kit.glob("startup/*.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not (kit / "jobs/stale-job").exists()
    assert not (kit / "old.json").exists()
    assert (kit / "server.log").read_text() == "kept"


def test_the_hub_keeps_jobs_and_snapshots_within_its_own_folder(tmp_path: Path, identity: Identity) -> None:
    kit = tmp_path / "kit"
    write_hub_kit(kit, identity, "127.0.0.1", 4001)

    text = (kit / "local/resources.json").read_text()
    assert str(kit / "jobs") in text
    assert str(kit / "snapshots") in text
    assert '"/tmp' not in text.replace(str(tmp_path), "")


def test_a_leg_is_two_class_names_and_an_identifier() -> None:
    job = leg_job("leg-1")

    assert job["config_fed_server.json"]["workflows"] == [
        {"id": "leg", "path": CONTROLLER, "args": {"leg_id": "leg-1"}}
    ]
    assert job["config_fed_client.json"]["executors"] == [
        {"tasks": ["leg"], "executor": {"path": EXECUTOR, "args": {"leg_id": "leg-1"}}}
    ]
