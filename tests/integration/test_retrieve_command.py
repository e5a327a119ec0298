"""`wardround node pull` against a real Orthanc: ordered, worked on at once, reported, with an exit that tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import orthanc
from tests.front_door import studies
from tests.integration.test_retrieve_pull import labelled
from typer.testing import CliRunner, Result

from wardround.cli.node import app
from wardround.node.home import NodeHome
from wardround.node.receive.completion import ReceivedStudy

pytestmark = pytest.mark.skipif(not orthanc.INSTALLED, reason="Orthanc isn't installed (Debian: orthanc)")

NODE = """\
site = "north"
federation = "trial"
[hub]
host = "127.0.0.1"
api_port = 1
[dicom]
port = {port}
ae_title = "WARDROUND"
clinic_ae_title = "WARDCLINIC"
[pacs]
host = "127.0.0.1"
port = {pacs}
ae_title = "HOSPITALPACS"
[retrieve]
studies_per_hour = 100000
backoff_seconds = 0.1
"""


def test_a_pull_of_a_table_is_worked_on_at_once_and_reported(tmp_path: Path) -> None:
    port = orthanc.free_port()
    home = tmp_path / "node"
    home.mkdir()

    def pull(*words: str) -> Result:
        return CliRunner().invoke(app, ["pull", *words, "--home", str(home)], env={"COLUMNS": "200"})

    with orthanc.running(tmp_path / "pacs", {"WARDROUND": port, "WARDCLINIC": port}) as pacs:
        (home / "node.toml").write_text(NODE.format(port=port, pacs=pacs.port))
        pacs.take(labelled(studies()[0], "A1"))
        table, report = tmp_path / "asks.csv", tmp_path / "report.json"
        table.write_text("accession\nA1\n")
        done = pull("--cohort", str(table), "--now", "--wait", "--report", str(report))
        assert done.exit_code == 0, done.output
        assert "1 done" in done.output and "A1" not in done.output.replace(str(home), "")
        [study] = json.loads(report.read_text())["studies"]
        assert (study["accession"], study["state"], study["arrived"], study["expected"]) == ("A1", "done", 5, 5)
        assert report.stat().st_mode & 0o077 == 0
        missing = pull("--accession", "NONE", "--now", "--wait", "--report", str(report))
        assert missing.exit_code == 1, missing.output
        [study] = json.loads(report.read_text())["not_had"]
        assert (study["accession"], study["reason"]) == ("NONE", "not-in-the-pacs")
    listed = pull("--list")
    assert "1 done" in listed.output and "1 absent" in listed.output
    opened = NodeHome(home)
    with opened.database.reading() as session:
        assert session.query(ReceivedStudy).count() == 1
    opened.close()
