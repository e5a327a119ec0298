"""Counting people and their groups over the enclave's index, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import AgeAt, All, Imaging, Not, SexIs
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort.counting import EnclaveCounting
from wardround.node.cohort.meaning import age_band
from wardround.node.cohort.noise import PersonWords
from wardround.node.enclave.tables import EnclavePatient, EnclaveSeries, EnclaveStudy

WORDS = PersonWords(bytes(range(32)))
MR = CohortQuestion(where=Imaging(modality="MR"))
PEOPLE = 60


@pytest.fixture
def counting(database_url: str) -> Iterator[EnclaveCounting]:
    """Sixty people: women at even numbers, aged from 20 on; all have an MR, every third a CT of another make too."""
    database = Database(database_url, migrations="wardround.node.migrations")
    database.upgrade()
    with database.writing() as session:
        for number in range(PEOPLE):
            person = f"WR-{number:02d}"
            session.add(EnclavePatient(pseudonym=person, sex=None if number == 1 else "FM"[number % 2]))
            session.flush()
            session.add(EnclaveStudy(uid=f"1.{number}", pseudonym=person, statements=[]))
            session.flush()
            made = [("MR", "SIEMENS")] + [("CT", "GE")] * (number % 3 == 0)
            for place, (modality, maker) in enumerate(made):
                session.add(
                    EnclaveSeries(
                        uid=f"1.{number}.{place}",
                        study_uid=f"1.{number}",
                        pseudonym=person,
                        modality=modality,
                        manufacturer=maker,
                        age=20 + number,
                    )
                )
    yield EnclaveCounting(database, WORDS)
    database.close()


def test_people_and_groups_are_tallied_with_their_part_of_the_third(counting: EnclaveCounting) -> None:
    everybody = [f"WR-{number:02d}" for number in range(PEOPLE)]
    found = counting(CohortQuestion(), ("sex", "modality", "manufacturer", "age"))
    assert found.people == WORDS.tally(everybody)
    assert found.parts["sex"] == {
        "F": WORDS.tally(everybody[::2]),
        "M": WORDS.tally(set(everybody[1::2]) - {"WR-01"}),
    }
    assert found.parts["modality"] == {"MR": WORDS.tally(everybody), "CT": WORDS.tally(everybody[::3])}
    assert found.parts["manufacturer"]["GE"] == WORDS.tally(everybody[::3])
    assert list(found.parts["age"]) == sorted(found.parts["age"])
    assert found.parts["age"]["20-29"] == WORDS.tally(everybody[:10])


def test_a_breakdown_goes_by_the_images_that_the_question_uses(counting: EnclaveCounting) -> None:
    found = counting(MR, ("modality",))
    assert set(found.parts["modality"]) == {"MR"}


def test_the_same_people_in_other_words_are_the_same_tally(counting: EnclaveCounting) -> None:
    one = counting(CohortQuestion(where=All(of=(Imaging(modality="CT"), SexIs(any_of=("F",))))), ())
    not_a_man = Not(of=SexIs(any_of=("M", "O")))
    other = counting(CohortQuestion(where=All(of=(not_a_man, AgeAt(at=Imaging(modality="CT"), min=20)))), ())
    assert one.people == other.people and one.people.people == 10


def test_years_of_shifted_dates_arent_told(counting: EnclaveCounting) -> None:
    with pytest.raises(NotAllowed) as refused:
        counting(MR, ("year",))
    assert refused.value.code == "no-years-here"


@pytest.mark.parametrize(
    ("age", "band"),
    [(0, "00-09"), (9, "00-09"), (10, "10-19"), (89, "80-89"), (90, "90 and over"), (130, "90 and over")],
)
def test_ages_are_told_in_bands_of_ten_years(age: int, band: str) -> None:
    assert age_band(age) == band
