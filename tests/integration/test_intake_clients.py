"""dcmtk's own clients against the node's receiver as `node.toml` sets it up, down to the index: plain and over TLS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.front_door import FrontDoor, data_set, studies
from tests.tls_lab import Authority

from wardround.dicom.network import TlsSettings
from wardround.node.settings import DicomSettings, HubAddress, NodeSettings, WireSettings
from wardround.node.wire import wire_terms

BIN = Path("/usr/bin")
pytestmark = pytest.mark.skipif(not (BIN / "storescu").exists(), reason="dcmtk isn't installed")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"), "hospital")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    (tmp_path / "home").mkdir()
    made = FrontDoor(tmp_path / "home", routes={"RESEARCH": "research", "CLINIC": "clinic"})
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sent" / "deep"
    made.mkdir(parents=True)
    for number, part10 in enumerate(part10 for study in studies() for part10 in (*study.slices, study.segmentation)):
        (made / f"{number}.dcm").write_bytes(part10)
    return made.parent


def node(wire: WireSettings, port: int) -> NodeSettings:
    return NodeSettings(
        site="north",
        federation="testing",
        hub=HubAddress(host="127.0.0.1", api_port=1),
        dicom=DicomSettings(ae_title="RESEARCH", clinic_ae_title="CLINIC", port=port),
        wire=wire,
    )


def scu(tool: str, port: int, *options: str, title: str = "RESEARCH", calling: str = "PACS") -> int:
    head = [str(BIN / tool), "-aet", calling, "-aec", title]
    flags = [one for one in options if not Path(one).is_dir()]
    paths = [one for one in options if Path(one).is_dir()]
    command = [*head, *flags, "127.0.0.1", str(port), *paths]
    environment = os.environ | {"TCP_NODELAY": "1"}
    return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False).returncode


def shown(files: TlsSettings) -> list[str]:
    return ["+tls", str(files.key), str(files.certificate), "+cf", str(files.trusted)]


def free_port() -> int:
    from tests.federation_lab import free_ports

    return free_ports(1)[0]


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_a_folder_arrives_twice_and_is_kept_once(
    door: FrontDoor, folder: Path, hospital: Authority, over_tls: bool
) -> None:
    ours, theirs = hospital.issue("node"), hospital.issue("modality")
    wire = WireSettings(senders=("PACS",))
    options: list[str] = []
    if over_tls:
        wire = WireSettings(
            senders=("PACS",), tls_certificate=ours.certificate, tls_key=ours.key, tls_trusted=ours.trusted
        )
        options = shown(theirs)
    settings = node(wire, free_port())
    with wire_terms(settings).receiver(door.reception) as receiver:
        assert scu("echoscu", receiver.port, *options) == 0
        for _ in range(2):
            assert scu("storescu", receiver.port, *options, "-R", "+sd", "+r", str(folder)) == 0
        assert scu("storescu", receiver.port, *options, "-R", "+sd", "+r", str(folder), title="CLINIC") == 0
        assert scu("echoscu", receiver.port, *options, calling="STRANGER") != 0
        assert scu("echoscu", receiver.port, *options, title="NOBODY") != 0
        if over_tls:
            assert scu("echoscu", receiver.port) != 0
    assert door.reception.settle(60)
    sent = sorted(data_set(file.read_bytes()) for file in folder.rglob("*.dcm"))
    assert door.quarantined_data_sets() == sent
    assert sorted(data_set(file.read_bytes()) for file in door.clinical.glob("*/*.dcm")) == sent
