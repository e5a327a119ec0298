"""A hospital's own rules: what the sender hears, what is kept, what is counted, and what a trial says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.front_door import SECRET, Clock, data_set, studies
from typer.testing import CliRunner

from wardround.cli.route import app
from wardround.foundation.database import Database
from wardround.foundation.settings import SettingsRefused
from wardround.node.receive.arrival import Arrival
from wardround.node.receive.reception import Answer, Reception
from wardround.node.receive.route_file import read_routes
from wardround.node.receive.summary import intake_summary
from wardround.node.receive.tables import IntakeRule, ReceivedInstance

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "routes.md"


def like(**values: object) -> bytes:
    """An object of the phantom hospital with other values and a UID of its own."""
    ds = pydicom.dcmread(BytesIO(studies()[0].slices[0]))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[repr(values)])
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


SCOUT = like(Modality="CT", SeriesDescription="CT Scout", PatientAge="050Y")
CHILD = like(Modality="CT", PatientAge="200D")
CHEST = like(Modality="CT", PatientAge="050Y", BodyPartExamined="CHEST", SliceThickness="2.5")
BRAIN = like(Modality="MR", PatientAge="050Y", StudyDescription="Brain MRI", StudyDate="20250101")
OTHER = like(Modality="US", PatientAge="050Y")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    found = re.search(r"```toml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    file = tmp_path / "routes.toml"
    file.write_text(found[1], encoding="utf-8")
    return file


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'node.db'}", migrations="wardround.node.migrations")
    made.upgrade()
    yield made
    made.close()


def reception(database: Database, rules: Path) -> Reception:
    home = rules.parent
    return Reception(
        database,
        quarantine=home / "quarantine",
        clinical=home / "clinical",
        secret=SECRET,
        routes=read_routes(rules),
        reserve_bytes=0,
        clock=Clock(),
    )


def kept(folder: Path) -> list[bytes]:
    return sorted(data_set(file.read_bytes()) for file in folder.rglob("*.dcm") if file.stat().st_size)


def test_the_rules_of_the_how_to_send_each_object_its_way(database: Database, rules: Path) -> None:
    door = reception(database, rules)
    answers = [door.receive(Arrival(one, "ANY", "PACS")) for one in (SCOUT, CHILD, CHEST, BRAIN, OTHER)]
    assert answers == [Answer.STORED] * 4 + [Answer.NOT_AUTHORISED]
    door.close()
    assert kept(rules.parent / "clinical") == sorted(map(data_set, (CHILD, CHEST)))
    research = [one for one in rules.parent.joinpath("quarantine").glob("*.dcm") if one.stat().st_size]
    assert sorted(data_set(file.read_bytes()) for file in research) == sorted(map(data_set, (CHEST, BRAIN)))
    summary = intake_summary(database)
    assert summary.discarded == {"planning images are of no use here": 1}
    assert summary.refused == {"not-routed": 1}
    assert {one.name: (one.target, one.instances) for one in summary.rules} == {
        "localizers": ("discard", 1),
        "children": ("pathway:paediatrics", 1),
        "chest-ct": ("both", 1),
        "brain-mr": ("research", 1),
        "no-rule": ("refused", 1),
    }
    with database.reading() as session:
        rows = session.execute(
            select(ReceivedInstance.path, IntakeRule.name).join(IntakeRule, ReceivedInstance.rule_id == IntakeRule.id)
        ).all()
    assert sorted((path, name) for path, name in rows) == [
        ("clinic", "chest-ct"),
        ("clinic", "children"),
        ("none", "localizers"),
        ("none", "no-rule"),
        ("research", "brain-mr"),
        ("research", "chest-ct"),
    ]


def test_a_discard_is_refused_to_the_sender_unless_the_rule_says_otherwise(database: Database, rules: Path) -> None:
    rules.write_text(rules.read_text().replace('answer = "stored"', 'answer = "refused"'))
    door = reception(database, rules)
    assert door.receive(Arrival(SCOUT, "ANY", "PACS")) is Answer.NOT_AUTHORISED
    door.close()
    assert intake_summary(database).discarded == {"planning images are of no use here": 1}


def test_a_trial_says_what_the_door_would_do_and_why(rules: Path) -> None:
    folder = rules.parent / "export"
    folder.mkdir()
    for name, one in {"1": SCOUT, "2": CHILD, "3": CHEST, "4": BRAIN}.items():
        (folder / f"{name}.dcm").write_bytes(one)
    result = CliRunner().invoke(app, ["test", str(folder), "--routes", str(rules), "--json"])
    assert result.exit_code == 0, result.output
    files = json.loads(result.stdout)["files"]
    assert [one["rule"] for one in files] == ["localizers", "children", "chest-ct", "brain-mr"]
    [localizers, children] = files[1]["outcomes"]
    assert (localizers["holds"], children["holds"]) == (False, True)
    assert children["comparisons"] == [{"written": 'PatientAge >= "018Y"', "holds": False, "values": ["200D"]}]
    (folder / "5.dcm").write_bytes(OTHER)
    assert CliRunner().invoke(app, ["test", str(folder), "--routes", str(rules)]).exit_code == 3
    (folder / "6.txt").write_text("no DICOM")
    result = CliRunner().invoke(app, ["test", str(folder), "--routes", str(rules)])
    assert result.exit_code == 1
    assert "6.txt: can't be read: not-part10" in result.stdout
    assert "4 taken, 1 refused since no rule takes them, 1 unreadable" in result.stdout


def test_no_value_of_a_file_steers_the_terminal(rules: Path) -> None:
    rules.write_text('[[rule]]\nname = "a"\nwhen = \'present(PatientID)\'\nto = "both"\n')
    file = rules.parent / "a.dcm"
    file.write_bytes(like(PatientID="X\x1b[2J\x9b"))
    result = CliRunner().invoke(app, ["test", str(file), "--routes", str(rules)])
    assert "\x1b" not in result.stdout
    assert "\\x1b[2J" in result.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule]", "not valid TOML"),
        ("", "'rule' is missing"),
        ("rule = 5", "write [[rule]]"),
        ("rule = [5]", "rule 1: it is 5"),
        ('[[rules]]\nname = "a"', "unknown key 'rules'; known here: rule"),
        ('[[rule]]\nname = "a"\nto = "both"\nwhne = "x"', "rule 1, 'a': unknown key 'whne'"),
        ('[[rule]]\nname = "a"', "rule 1, 'a': 'to' is missing"),
        ('[[rule]]\nname = "A b"\nto = "both"', "'name' is 'A b'"),
        ('[[rule]]\nname = "a"\nto = "bin"', 'there are "research", "pathway:NAME", "both" and "discard"'),
        ('[[rule]]\nname = "a"\nto = "discard"', "discards without a reason"),
        ('[[rule]]\nname = "a"\nto = "discard"\nreason = " "', "discards without a reason"),
        ('[[rule]]\nname = "a"\nto = "both"\nanswer = "stored"', "answer is for rules that discard"),
        ('[[rule]]\nname = "no-rule"\nto = "both"', "rename it"),
        ('[[rule]]\nname = "a"\nto = "both"\n[[rule]]\nname = "a"\nto = "both"', "two rules are called 'a'"),
        ('[[rule]]\nname = "a"\nto = "both"\nwhen = "Modalty == 5"', "rule 1, 'a': when: Modalty is no DICOM keyword"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_place_and_mend(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text)
    with pytest.raises(SettingsRefused) as refused:
        read_routes(file)
    assert str(file) in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.one_of(st.text(max_size=60), st.text(max_size=40).map(lambda when: f"[[rule]]\nwhen = {json.dumps(when)}\n")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_text_is_a_file_of_rules_or_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(SettingsRefused):
        read_routes(file)
