"""Codes become the concepts of the vocabulary tables that are loaded, whichever comes first: records or tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from tests.records_lab import HIP, Lab, condition, measurement, person, reasons

from wardround.node.records.athena import load_vocabulary
from wardround.node.records.errors import RecordsBusy, RecordsRefused
from wardround.node.records.load import Vocabulary
from wardround.node.records.reasons import Reason
from wardround.node.records.report import Changes
from wardround.node.records.row import Code
from wardround.node.records.schema import TABLES

CONCEPT, ANCESTOR, RELATION = (TABLES[name].names for name in ("concept", "concept_ancestor", "concept_relationship"))
OWN, HIP_FRACTURE, FRACTURE, HBA1C = 35207000, 4230399, 75053, 3004410


def concept(number: int, vocabulary: str, code: str, standard: str = "S") -> Sequence[object]:
    return (number, 'a "name" of it', "Condition", vocabulary, "Disorder", standard, code, "19700101", "20991231", "")


CONCEPTS = [
    concept(OWN, "ICD10CM", "S72.0", ""),
    concept(HIP_FRACTURE, "SNOMED", "5913000"),
    concept(FRACTURE, "SNOMED", "125605004"),
    concept(HBA1C, "LOINC", "4548-4"),
]
RELATIONS = [
    (OWN, HIP_FRACTURE, "Maps to", "19700101", "20991231", ""),
    (OWN, FRACTURE, "Maps to", "19700101", "20100101", "D"),
    (OWN, FRACTURE, "Is a", "19700101", "20991231", ""),
]
ANCESTORS = [(FRACTURE, HIP_FRACTURE, 1, 1), (FRACTURE, FRACTURE, 0, 0), (HIP_FRACTURE, HIP_FRACTURE, 0, 0)]


def write(folder: Path, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    lines = ["\t".join(columns), *("\t".join(str(value) for value in row) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A small export as Athena makes it."""
    folder = tmp_path / "athena"
    folder.mkdir()
    write(folder, "CONCEPT.csv", CONCEPT, CONCEPTS)
    write(folder, "CONCEPT_RELATIONSHIP.csv", RELATION, RELATIONS)
    write(folder, "CONCEPT_ANCESTOR.csv", ANCESTOR, ANCESTORS)
    write(folder, "DRUG_STRENGTH.csv", ["drug_concept_id"], [(1,)])
    return folder


def said(lab: Lab) -> list[tuple[object, ...]]:
    return lab.rows(
        "SELECT condition_concept_id, condition_source_concept_id, condition_source_value FROM condition_occurrence"
    )


def test_a_code_is_kept_with_its_own_concept_and_the_standard_one(lab: Lab, export: Path) -> None:
    loaded = load_vocabulary(lab.records, export)
    assert loaded.rows == {"concept": 4, "concept_ancestor": 3, "concept_relationship": 1}
    lab.load(person("A"), condition("A"), measurement("A"))
    assert said(lab) == [(HIP_FRACTURE, OWN, "ICD10CM:S72.0")]
    assert lab.one("SELECT measurement_concept_id FROM measurement") == HBA1C


def test_records_that_were_there_before_get_the_concepts_of_their_codes(lab: Lab, export: Path) -> None:
    lab.load(person("A"), condition("A"), measurement("A"), condition("A", "c2", code=Code("LOCAL", "7")))
    assert load_vocabulary(lab.records, export).renamed == 2
    assert sorted(said(lab), key=repr) == [(0, 0, "LOCAL:7"), (HIP_FRACTURE, OWN, "ICD10CM:S72.0")]
    assert lab.load(person("A"), condition("A"), measurement("A")).changes.unchanged == 3


def test_a_newer_vocabulary_takes_the_place_of_the_older(lab: Lab, export: Path) -> None:
    load_vocabulary(lab.records, export)
    lab.load(condition("A"), measurement("A"))
    write(export, "CONCEPT.csv", CONCEPT, [concept(OWN, "ICD10CM", "S72.0", ""), concept(1, "SNOMED", "1")])
    write(export, "CONCEPT_RELATIONSHIP.csv", RELATION, [(OWN, 1, "Maps to", "19700101", "20991231", "")])
    load_vocabulary(lab.records, export)
    assert said(lab) == [(1, OWN, "ICD10CM:S72.0")]
    assert lab.one("SELECT measurement_concept_id FROM measurement") == 0
    assert lab.one("SELECT count(*) FROM concept") == 2


def test_a_standard_concept_that_the_source_chose_itself_stays(lab: Lab, export: Path) -> None:
    """An OMOP warehouse maps some codes by hand."""
    lab.load(condition("A", code=FRACTURE, condition_source_value=HIP, condition_source_concept_id=OWN))
    load_vocabulary(lab.records, export)
    assert said(lab) == [(FRACTURE, OWN, "ICD10CM:S72.0")]
    assert lab.load(
        condition("A", code=FRACTURE, condition_source_value=HIP, condition_source_concept_id=OWN)
    ).changes == Changes(unchanged=1)


def test_of_several_codes_the_first_that_is_known_counts(lab: Lab, export: Path) -> None:
    load_vocabulary(lab.records, export)
    lab.load(condition("A", code=(Code("LOCAL", "hip"), HIP, Code("SNOMED", "125605004"))))
    assert said(lab) == [(HIP_FRACTURE, OWN, "ICD10CM:S72.0")]


def test_a_code_that_the_vocabulary_lacks_is_kept_as_it_is_and_counted(lab: Lab, export: Path) -> None:
    load_vocabulary(lab.records, export)
    report = lab.load(condition("A", code=Code("LOCAL", "7")), condition("A", "c2"))
    assert report.unmapped == 1
    assert (0, 0, "LOCAL:7") in said(lab)


def test_a_concept_that_the_vocabulary_lacks_is_rejected(lab: Lab, export: Path) -> None:
    assert lab.load(condition("A", code=99)).rejections == 0
    load_vocabulary(lab.records, export)
    report = lab.load(condition("A", "c2", code=99), condition("A", "c3", code=FRACTURE))
    assert reasons(report) == {Reason.UNKNOWN_CONCEPT: 1}


def test_tables_that_are_left_out_are_empty_afterwards(lab: Lab, export: Path) -> None:
    load_vocabulary(lab.records, export)
    (export / "CONCEPT_ANCESTOR.csv").unlink()
    assert load_vocabulary(lab.records, export).rows["concept_ancestor"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "concept_id\tconcept_name\n1\tx\n",
        "\t".join(CONCEPT) + "\n" + "\t".join(str(one) for one in concept(1, "A", "B"))[:-9] + "\n",
        "\t".join(CONCEPT) + "\none" + "\tx" * 6 + "\t19700101\t20991231\t\n",
        "\t".join(CONCEPT) + "\n1" + "\tx" * 6 + "\t1970-01-01\t20991231\t\n",
        "",
        "\ufffd".encode("utf-16").decode("latin-1"),
    ],
)
def test_a_file_that_is_no_such_table_changes_nothing(lab: Lab, export: Path, text: str) -> None:
    load_vocabulary(lab.records, export)
    before = lab.everything()
    (export / "CONCEPT.csv").write_text(text, encoding="latin-1")
    with pytest.raises(RecordsRefused, match=r"CONCEPT\.csv isn't that table"):
        load_vocabulary(lab.records, export)
    assert lab.everything() == before


def test_a_concept_that_is_there_twice_changes_nothing(lab: Lab, export: Path) -> None:
    write(export, "CONCEPT.csv", CONCEPT, [*CONCEPTS, CONCEPTS[0]])
    with pytest.raises(RecordsRefused, match="twice"):
        load_vocabulary(lab.records, export)
    assert lab.one("SELECT count(*) FROM concept") == 0


def test_a_folder_without_concepts_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(RecordsRefused, match=r"no CONCEPT\.csv"):
        load_vocabulary(lab.records, tmp_path)
    with pytest.raises(RecordsRefused, match="isn't a folder"):
        load_vocabulary(lab.records, tmp_path / "nowhere")


def test_a_load_whose_vocabulary_was_replaced_meanwhile_is_begun_again(lab: Lab, export: Path) -> None:
    vocabulary = Vocabulary(lab.records)
    load_vocabulary(lab.records, export)
    with lab.records.writing() as connection, pytest.raises(RecordsBusy, match="another vocabulary"):
        vocabulary.check_same(connection)


def test_a_day_of_a_vocabulary_is_one(lab: Lab, export: Path) -> None:
    load_vocabulary(lab.records, export)
    assert lab.one("SELECT DISTINCT valid_end_date FROM concept") == date(2099, 12, 31)
