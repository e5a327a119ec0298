"""The running node's front door: TLS as `[wire]` says, and closed for research once the enclave is full."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.front_door import studies
from tests.intake_lab import in_this_process, serving, until
from tests.tls_lab import Authority

from wardround.dicom.network import PeerUnreachable, echo, send
from wardround.foundation.settings import SettingsRefused
from wardround.node.receive.route_file import FILE
from wardround.node.receive.summary import intake_summary

__all__ = ["in_this_process"]
pytestmark = pytest.mark.usefixtures("in_this_process")


def test_the_node_speaks_tls_where_its_settings_say_so(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "hospital")
    ours, theirs = authority.issue("node"), authority.issue("modality")
    wire = f'[wire]\ntls_certificate = "{ours.certificate}"\ntls_key = "{ours.key}"\ntls_trusted = "{ours.trusted}"\n'
    with serving(tmp_path / "home", rest=wire) as node:
        echo(node.research, "MODALITY", tls=theirs.client())
        with pytest.raises(PeerUnreachable):
            echo(node.research, "MODALITY")
    wrong = wire.replace(str(ours.key), str(theirs.key))
    with pytest.raises(SettingsRefused, match="key is the certificate's"), serving(tmp_path / "other", rest=wrong):
        pass


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("quota_gb = 1e-9", "enclave-over-quota"), ("reserve_gb = 1e6", "enclave-below-reserve")],
)
def test_a_full_enclave_takes_nothing_more_and_the_clinic_goes_on(tmp_path: Path, limit: str, reason: str) -> None:
    first, second = studies()
    with serving(tmp_path, dicom="quiet_seconds = 0.2") as node:
        assert send(first.slices, node.research, "PACS").complete
        assert node.intake.reception.settle(60)
        until(lambda: intake_summary(node.home.database).states["research"] == {"deidentified": len(first.slices)})
    with serving(tmp_path, rest=f"[enclave]\n{limit}\n") as node:
        report = send(second.slices, node.research, "PACS")
        assert {refused.status for refused in report.refused} == {0xA700}
        assert report.accepted == ()
        assert send(second.slices, node.clinic, "PACS").complete
        assert node.intake.reception.settle(60)
        assert dict(intake_summary(node.home.database).turned_away) == {reason: len(second.slices)}
    with serving(tmp_path) as node:
        assert send(second.slices, node.research, "PACS").complete, "and again once there is room"


RULES = """
[[rule]]
name = "segmentations"
when = 'Modality == "SEG"'
to = "pathway:reading"

[[rule]]
name = "first-slices"
when = 'InstanceNumber <= 2'
to = "both"

[[rule]]
name = "others"
to = "research"
"""


def test_what_a_full_enclave_takes_is_decided_by_the_rules_whatever_title_was_called(tmp_path: Path) -> None:
    first, second = studies()
    (tmp_path / FILE).write_text(RULES)
    with serving(tmp_path, dicom="quiet_seconds = 0.2") as node:
        assert send(first.slices, node.research, "PACS").complete
        assert node.intake.reception.settle(60)
        until(lambda: intake_summary(node.home.database).states["research"] == {"deidentified": len(first.slices)})
    sent = [*second.slices, second.segmentation]
    with serving(tmp_path, dicom="quiet_seconds = 0.2", rest="[enclave]\nquota_gb = 1e-9\n") as node:
        for title in (node.research, node.clinic):
            report = send(sent, title, "PACS")
            assert [refused.status for refused in report.refused] == [0xA700] * 2, "research alone has no room"
            assert len(report.accepted) == 3, "the clinic goes on"
        assert node.intake.reception.settle(60)
        summary = intake_summary(node.home.database)
        assert summary.instances == {"research": len(first.slices), "clinic": 2 + 3}
        assert dict(summary.turned_away) == {"enclave-over-quota": 2 * 4}
    with serving(tmp_path, dicom="quiet_seconds = 0.2") as node:
        assert send(sent, node.research, "PACS").complete
        assert node.intake.reception.settle(60)
        summary = intake_summary(node.home.database)
        assert summary.instances == {"research": 2 * len(first.slices), "clinic": 2 + 3}, "research has its copies"
