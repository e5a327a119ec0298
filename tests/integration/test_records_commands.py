"""`wardround node records` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from wardround.cli.main import build
from wardround.foundation.errors import WardroundError
from wardround.node.audit import Audit
from wardround.node.home import NodeHome
from wardround.node.records.errors import RecordsRefused
from wardround.node.records.wiring import records_at

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
SECRET = "ZQX4711"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "node"
    (made / "identity").mkdir(parents=True)
    (made / "node.toml").write_text(NODE)
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with a patient, a condition, and one condition in the future."""
    who = {"reference": "Patient/p1"}
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "254938000"}]}
    condition = {"resourceType": "Condition", "id": "c1", "subject": who, "code": code}
    resources = [
        {
            "resourceType": "Patient",
            "id": "p1",
            "identifier": [{"system": "https://trust.example/mrn", "value": SECRET}],
            "gender": "female",
            "birthDate": "1961-05-04",
        },
        {**condition, "onsetDateTime": "2020-02-03"},
        {**condition, "id": "c2", "onsetDateTime": "2999-02-03"},
    ]
    file = tmp_path / f"export of {SECRET}.json"
    entries = [{"resource": one} for one in resources]
    file.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return file


def records(home: Path, *arguments: object) -> Result:
    return CliRunner().invoke(
        build(["node"]), ["node", "records", *(str(each) for each in arguments), "--home", str(home)]
    )


def load(home: Path, file: Path, *more: object) -> Result:
    return records(home, "load", file, "--as", "fhir", "--source", "clinic", *more)


def test_a_load_says_what_it_did_what_it_left_out_and_where(home: Path, bundle: Path) -> None:
    done = load(home, bundle)
    assert done.exit_code == 0, done.output
    assert "Read 3 records of clinic: 2 added, 0 changed, 0 unchanged, 0 removed, 1 rejected." in done.output
    assert "rejected 1 (date-in-the-future): its date lies in the future; correct it at the source. At: " in done.output
    assert "Next: " in done.output
    assert SECRET not in done.output
    again = load(home, bundle, "--json")
    told = json.loads(again.output)
    assert told["tables"]["condition_occurrence"]["unchanged"] == 1
    assert told["rejected"]["date-in-the-future"]["count"] == 1


def test_each_load_is_on_the_audit_without_a_value(home: Path, bundle: Path) -> None:
    load(home, bundle)
    opened = NodeHome(home)
    with opened.database.reading() as session:
        [row] = session.scalars(select(Audit).where(Audit.verb == "load-records"))
    opened.close()
    assert (row.subject, row.detail) == ("source clinic", "3 records read")
    assert row.actor.startswith("os:")


def test_status_shows_tables_sources_loads_and_what_they_rejected(home: Path, bundle: Path) -> None:
    assert json.loads(records(home, "status", "--json").output) == {"tables": {}, "sources": {}, "loads": []}
    load(home, bundle)
    shown = records(home, "status")
    assert shown.exit_code == 0
    for words in ("condition_occurrence", "No vocabulary is loaded", "source clinic: 1 records", "date-in-the-future"):
        assert words in shown.output
    told = json.loads(records(home, "status", "--json").output)
    assert told["tables"]["person"] == 1
    assert told["loads"][0]["source"] == "clinic"
    assert SECRET not in shown.output + json.dumps(told)


def test_a_vocabulary_is_loaded_and_what_is_lost_without_its_siblings_is_said(
    home: Path, bundle: Path, tmp_path: Path
) -> None:
    load(home, bundle)
    folder = tmp_path / "athena"
    folder.mkdir()
    columns = (
        "concept_id concept_name domain_id vocabulary_id concept_class_id standard_concept concept_code "
        "valid_start_date valid_end_date invalid_reason"
    )
    row = "1\tGlioma\tCondition\tSNOMED\tDisorder\tS\t254938000\t19700101\t20991231\t"
    (folder / "CONCEPT.csv").write_text("\t".join(columns.split()) + f"\n{row}\n")
    done = records(home, "vocabulary", folder)
    assert done.exit_code == 0, done.output
    assert "1 of concept" in done.output
    assert "1 concepts of records changed" in done.output
    assert "no descendants" in done.output
    with records_at(NodeHome(home)).writing() as connection:
        assert connection.rows("SELECT condition_concept_id FROM condition_occurrence") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--as", "xml", "--source", "clinic"], "--as is one of"),
        (["--as", "fhir", "--source", "The Clinic"], "--source"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_with_its_mend(
    home: Path, bundle: Path, arguments: list[str], words: str
) -> None:
    done = records(home, "load", bundle, *arguments)
    assert done.exit_code != 0
    if isinstance(done.exception, WardroundError):
        assert isinstance(done.exception, RecordsRefused)
        assert "\n" not in str(done.exception)
    assert words in done.output + str(done.exception)
    assert SECRET not in str(done.exception).replace(bundle.name, "")
