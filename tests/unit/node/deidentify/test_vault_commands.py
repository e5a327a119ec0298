"""`wardround node relink`, `erase` and `optout`, and `wardround deid statement`, over a real home."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import select
from tests.front_door import QUIET, Clock, joined, studies
from typer.testing import CliRunner

from wardround.cli.deid import app as deid
from wardround.cli.node import app
from wardround.dicom.pixels_facts import PixelFacts
from wardround.dicom.pixels_screening import Screener
from wardround.foundation.errors import NotFound
from wardround.foundation.settings import SettingsRefused
from wardround.node.audit import Audit
from wardround.node.deidentify.crew import Alone
from wardround.node.deidentify.department import Department
from wardround.node.deidentify.intake import Progress
from wardround.node.enclave.tables import EnclaveStudy
from wardround.node.home import NodeHome
from wardround.node.receive.arrival import Arrival
from wardround.node.receive.completion import complete_studies
from wardround.node.receive.reception import Answer, Reception
from wardround.node.receive.route import by_called_title

SETTINGS = 'site = "north"\nfederation = "demo"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home with two patients in its enclave."""
    (tmp_path / "node.toml").write_text(SETTINGS)
    joined(tmp_path)
    monkeypatch.setattr(
        "wardround.node.deidentify.department.Processes", lambda recipe, *_, **__: Alone(recipe.bench())
    )
    give(tmp_path)
    return tmp_path


def give(home: Path) -> Progress:
    """Two studies through the front door of a home."""
    opened = NodeHome(home)
    opened.database.upgrade()
    clock = Clock()
    department = Department(opened, clock=clock)
    reception = Reception(
        opened.database,
        quarantine=opened.quarantine,
        clinical=opened.clinical,
        secret=department.secret,
        routes=by_called_title({"RESEARCH": "research"}),
        reserve_bytes=0,
        clock=clock,
    )
    for study in studies():
        for part10 in (*study.slices, study.segmentation):
            assert reception.receive(Arrival(part10, "RESEARCH", "PACS")) is Answer.STORED
    assert reception.settle(60)
    clock.pass_quietly()
    complete_studies(opened.database, quiet=QUIET, now=clock())
    deidentification = department.deidentification()
    progress = deidentification.tick()
    deidentification.stop()
    reception.close()
    department.close()
    opened.close()
    return progress


def run(home: Path, *arguments: str, typed: str | None = None) -> str:
    noun = deid if arguments[0] == "statement" else app
    told = CliRunner().invoke(noun, [*arguments, "--home", str(home)], input=typed, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


def studies_of(home: Path) -> list[EnclaveStudy]:
    opened = NodeHome(home)
    with opened.database.reading() as session:
        found = list(session.scalars(select(EnclaveStudy)))
    opened.close()
    return found


def verbs(home: Path) -> list[str]:
    opened = NodeHome(home)
    with opened.database.reading() as session:
        found = list(session.scalars(select(Audit.verb).order_by(Audit.id)))
    opened.close()
    return found


def test_relinking_says_who_it_is_and_leaves_its_row(home: Path) -> None:
    header = pydicom.dcmread(BytesIO(studies()[0].slices[0]))
    told = {study.uid: run(home, "relink", study.uid, "--reason", "a finding") for study in studies_of(home)}
    [mine] = [text for text in told.values() if str(header.PatientID) in text]
    assert str(header.PatientName) in mine and str(header.StudyInstanceUID) in mine
    assert verbs(home) == ["open-vault", "open-vault"]
    with pytest.raises(NotFound):
        run(home, "relink", "WR-NOBODY", "--reason", "a finding")
    assert CliRunner().invoke(app, ["relink", "x", "--reason", " ", "--home", str(home)]).exit_code == 2


def test_an_erasure_is_told_first_and_done_with_yes(home: Path) -> None:
    patient = str(pydicom.dcmread(BytesIO(studies()[0].slices[0])).PatientID)
    asked = ("erase", "--patient-id", "-", "--reason", "request 7")
    told = run(home, *asked, typed=f"{patient}\n")
    assert "1 studies of the enclave" in told and "--yes" in told and patient not in told
    assert len(studies_of(home)) == 2
    assert "is done" in run(home, *asked, "--yes", typed=f"{patient}\n")
    assert len(studies_of(home)) == 1
    assert "Nothing to erase" in run(home, *asked, "--yes", typed=f"{patient}\n")
    told = CliRunner().invoke(app, ["erase", "--reason", "x", "--home", str(home)])
    assert told.exit_code == 2 and "--pseudonym" in told.output


def test_an_opt_out_is_counted_purged_on_request_and_taken_back(home: Path, tmp_path: Path) -> None:
    patient = str(pydicom.dcmread(BytesIO(studies()[0].slices[0])).PatientID)
    (tmp_path / "list.csv").write_text(f"# ours\nlocal,{patient}\n943 476 5919\n", encoding="utf-8")
    told = run(home, "optout", "load", str(tmp_path / "list.csv"))
    assert "2 of 2 entries" in told and "1 patients of the enclave are left out now, 0 before" in told
    assert len(studies_of(home)) == 2, "nothing is destroyed unasked"
    told = run(home, "optout", "list")
    assert "1 local, 1 nhs" in told and patient not in told
    assert "Purged one patient" in run(home, "optout", "add", "--purge", typed=f"local,{patient}\n")
    assert len(studies_of(home)) == 1
    assert dict(give(home).refused) == {"opted-out": 5}, "what is sent again"
    assert "5 instances" in run(home, "optout", "list", "--count")
    assert "1 of 1 entries" in run(home, "optout", "remove", typed=f"local,{patient}\n")
    assert give(home).deidentified == 5


def test_a_statement_tells_actions_and_no_value(home: Path) -> None:
    told = run(home, "statement", "--all")
    header = pydicom.dcmread(BytesIO(studies()[0].slices[0]))
    assert told.count("5 objects by Wardround") == 2 and "removed" in told
    assert "(as research, " in told
    assert str(header.PatientName) not in told and str(header.StudyInstanceUID) not in told
    [one, _] = json.loads(run(home, "statement", "--all", "--json"))
    assert one["applied"][0]["counts"]["remapped"] > 0
    with pytest.raises(NotFound):
        run(home, "statement", "1.2.3")


def test_starting_again_finishes_an_erasure_that_was_cut_off(home: Path) -> None:
    opened = NodeHome(home)
    department = Department(opened)
    [first, _] = sorted(department.vault.pseudonyms())
    erasures = department.erasures()
    erasures.order(erasures.find([first], actor="person:x", reason="request 8"), actor="person:x", reason="request 8")
    department.close()
    again = Department(opened)
    again.mend()
    assert first not in again.vault.pseudonyms()
    again.close()
    opened.close()
    assert len(studies_of(home)) == 1


@pytest.mark.parametrize(
    ("profile", "why"),
    [("nonesuch", "there is no profile"), ("mine.toml", "mine.toml")],
)
def test_a_profile_that_cannot_be_used_is_told_with_its_place(home: Path, profile: str, why: str) -> None:
    (home / "node.toml").write_text(f'{SETTINGS}[deidentification]\nprofile = "{profile}"\n')
    opened = NodeHome(home)
    with pytest.raises(SettingsRefused, match=f"deidentification.profile.*{why}"):
        Department(opened).deidentification()
    opened.close()


def test_a_profile_of_the_hospitals_own_is_used(home: Path) -> None:
    (home / "mine.toml").write_text('options = ["modified-dates"]\n')
    (home / "node.toml").write_text(f'{SETTINGS}[deidentification]\nprofile = "mine.toml"\n')
    opened = NodeHome(home)
    assert Department(opened).profile.name == "mine"
    opened.close()


def test_the_hospitals_device_rules_come_before_those_shipped(home: Path) -> None:
    rule = '[[rule]]\nname = "Ward 3"\nmanufacturer = "Acme"\nboxes = [[0, 0, 9, 9]]\n'
    (home / "devices.toml").write_text(rule)
    (home / "node.toml").write_text(f'{SETTINGS}[deidentification]\ndevice_rules = "devices.toml"\n')
    opened = NodeHome(home)
    facts = PixelFacts(sop_class="1.2.840.10008.5.1.4.1.1.2", image_type=("ORIGINAL", "PRIMARY"), manufacturer="ACME")
    grey = replace(facts, rows=512, columns=512, photometric="MONOCHROME2")
    assert Screener().by_header(grey) is not None
    assert Department(opened).screener.by_header(grey) is None, "where it prints is read and blackened"
    (home / "devices.toml").write_text(f"{rule}frames = 1\n")
    with pytest.raises(SettingsRefused, match=r"devices\.toml.*frames"):
        Department(opened).deidentification()
    opened.close()
