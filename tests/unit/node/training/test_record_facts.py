"""What a package is told of people is what the records say: the last number, in its unit, and of nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from tests.records_lab import Lab, identity, person

from wardround.learning.fact import Fact, Target
from wardround.node.records.row import Code, Row
from wardround.node.records.schema import MALE
from wardround.node.training.facts import Told, ethnicities, facts_of

SUGAR = Fact("measurement", "LOINC:2345-7", "mg/dL")
ILL = Fact("condition", "SNOMED:73211009")
CLASS = Target("class", ILL)
ALIVE = Target("survival", Fact("death"), ILL)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()


def measured(who: str, day: date, number: float, unit: str | None, key: str) -> Row:
    values = {
        "measurement_concept_id": Code("LOINC", "2345-7"),
        "measurement_date": day,
        "value_as_number": number,
        "unit_concept_id": None if unit is None else Code("UCUM", unit),
    }
    return Row("measurement", key, identity(who), values, f"measurement {key}")


def diagnosed(who: str, day: date, key: str) -> Row:
    values = {"condition_concept_id": Code("SNOMED", "73211009"), "condition_start_date": day}
    return Row("condition_occurrence", key, identity(who), values, f"condition {key}")


def died(who: str, day: date) -> Row:
    return Row("death", who, identity(who), {"death_date": day}, f"death {who}")


def names(lab: Lab, *numbers: str) -> list[str]:
    return [lab.pseudonyms.patient(number) for number in numbers]


def told(lab: Lab, target: Target, *facts: Fact, of: tuple[str, ...] = ("1", "2", "3")) -> Told:
    return facts_of(lab.records, names(lab, *of), facts, target)


def test_the_last_number_stands_in_the_packages_own_unit(lab: Lab) -> None:
    lab.load(
        person("1"),
        person("2", sex=MALE),
        person("3"),
        measured("1", date(2020, 1, 1), 90, "mg/dL", "a"),
        measured("1", date(2021, 1, 1), 1.2, "g/L", "b"),
        measured("2", date(2020, 1, 1), 5.5, "mmol/L", "c"),
        diagnosed("2", date(2020, 1, 2), "d"),
    )
    found = told(lab, CLASS, SUGAR, Fact("sex"), Fact("age"))
    assert list(found.people) == names(lab, "1", "2", "3")
    np.testing.assert_allclose(found.values[0, :2], [120.0, 0.0])
    assert np.isnan(found.values[1, 0]), "amounts of substance don't turn into masses"
    assert found.values[1, 1] == 1.0
    assert found.values[0, 2] == 59, "born on 4 May 1961, measured last on 1 January 2021"
    assert np.isnan(found.values[2, [0, 2]]).all(), "of somebody never measured there is no day to have an age on"
    assert found.targets == ((0.0,), (1.0,), (0.0,))


def test_nobody_is_read_who_wasnt_asked_for_and_nobody_told_of_who_isnt_there(lab: Lab) -> None:
    lab.load(person("1"), person("2"), diagnosed("2", date(2020, 1, 2), "d"))
    found = told(lab, CLASS, of=("1", "9"))
    assert list(found.people) == names(lab, "1")
    assert found.targets == ((0.0,),)


def test_survival_runs_from_the_first_event_to_death_or_to_the_last_that_is_known(lab: Lab) -> None:
    lab.load(
        person("1"),
        person("2"),
        person("3"),
        diagnosed("1", date(2020, 1, 1), "a"),
        diagnosed("1", date(2020, 6, 1), "b"),
        died("1", date(2020, 1, 31)),
        diagnosed("2", date(2020, 1, 1), "c"),
        measured("2", date(2020, 4, 10), 90, "mg/dL", "d"),
    )
    assert told(lab, ALIVE).targets == ((30.0, 1.0), (100.0, 0.0), ())


def test_ethnicity_is_told_of_those_who_were_asked_for_and_of_whom_it_is_known(lab: Lab) -> None:
    lab.load(
        person("1", race_concept_id=8527, ethnicity_concept_id=Code("UKCoreEthnicCategory", "A")),
        person("2"),
        person("3", race_concept_id=8515),
    )
    found = ethnicities(lab.records, names(lab, "1", "2"))
    assert found == {names(lab, "1")[0]: "concept 8527, UKCoreEthnicCategory:A"}
