"""`wardround node intake` tells an engineer what came, what became of it, why not, and what to do about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.front_door import FrontDoor, edited, studies

from wardround.cli.main import run
from wardround.dicom.pixels_screening import Screener
from wardround.foundation.files import write_whole
from wardround.node.enclave.tables import EnclaveInstance, EnclaveUnusable
from wardround.node.receive.tables import CommitmentRow

SETTINGS = (
    'site = "north"\nfederation = "testing"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
    "[dicom]\nreserve_mb = 100000000000\n[enclave]\nquota_gb = 0.0000001\n"
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    monkeypatch.setenv("COLUMNS", "160")

    def command(home: Path, *options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["wardround", "node", "intake", "--home", str(home), *options])
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code in (0, None)
        return capsys.readouterr().out

    return command


def test_each_kind_of_trouble_is_told_with_its_mend(tmp_path: Path, shown: Callable[..., str]) -> None:
    write_whole(tmp_path / "node.toml", SETTINGS.encode())
    first, second = studies()
    door = FrontDoor(tmp_path, screener=Screener())
    door.give_study(first, called="BOTH")
    door.tick()
    door.give(edited(first.slices[0], InstanceNumber=99), called="CLINIC")
    door.give(second.slices[0], called="NOWHERE")
    door.give(b"no DICOM at all")
    door.give(edited(second.slices[1], BurnedInAnnotation="YES"))
    door.give(first.slices[1], called="BOTH")
    door.tick()
    door.give(second.slices[2])
    door.close()
    full = FrontDoor(tmp_path, reserve_bytes=1 << 60)
    full.give(second.slices[3])
    with full.database.writing() as session:
        series = session.query(EnclaveInstance.series_uid).limit(1).scalar()
        now = full.clock()
        session.add(EnclaveUnusable(series_uid=series, digest="0" * 64, reason="missing-slices", tried_at=now))
        session.add(
            CommitmentRow(
                file="x",
                calling_title="PACS",
                called_title="RESEARCH",
                instances=1,
                state="waiting",
                attempts=0,
                due_at=now,
                requested_at=now,
            )
        )
    full.close()

    told = shown(tmp_path)
    document = json.loads(shown(tmp_path, "--json"))
    assert "what became of them" in told
    assert "refused: 1 for not-routed: no rule takes it; add a rule to routes.toml" in told
    assert "refused: 1 for conflicting-content" in told
    assert "refused: 1 for not-part10" in told
    assert "turned away: 1 for disk-reserve" in told
    assert "waiting for de-identification: 1" in told
    assert "not usable for learning: 1 series for missing-slices: slices are missing in between" in told
    assert "storage commitment: 1 waiting" in told
    assert "ALARM: the enclave holds" in told
    assert "(reserve_mb): nothing is taken" in told
    assert "title-BOTH" in told
    assert "enclave: 1 patients" in told
    assert document["refused"] == {"conflicting-content": 1, "not-part10": 1, "not-routed": 1}
    assert document["paths"]["clinic"]["states"] == {"clinical": 5, "refused": 1}
    assert document["waiting_for_review"] == 1
    assert document["turned_away"] == {"disk-reserve": 1}
    assert document["disk"]["full"] is True
    assert [alarm["code"] for alarm in document["alarms"]] == ["enclave-over-quota"]
    assert all(document["words"].values())
    assert document["enclave"]["objects"] == 5


def test_nothing_is_told_of_a_node_to_which_nothing_happened(tmp_path: Path, shown: Callable[..., str]) -> None:
    write_whole(tmp_path / "node.toml", SETTINGS.partition("[dicom]")[0].encode() + b"[dicom]\nreserve_mb = 0\n")
    FrontDoor(tmp_path).close()
    told = shown(tmp_path)
    assert "enclave: 0 patients, 0 studies, 0 objects, 0 reference labels" in told
    assert not {"refused", "discarded", "late", "short", "backlog"} & set(told.replace(":", " ").split())
