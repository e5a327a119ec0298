"""A pathway that asks for an earlier study: whose it takes, how old it may be, what the result and the worklist say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.clinic_lab import Clinic, ToyReader, made, result

from wardround.node.clinic import reader
from wardround.node.clinic.definition import Before
from wardround.node.clinic.order import worklist
from wardround.node.clinic.prior import PriorFound
from wardround.node.receive.clinical import purge_clinical

PRIOR = "[prior]\nwithin_days = 60\n"


def by_prior(*arguments: object) -> reader.Reading:
    """As the reading process answers, without a model: the earlier study came to half of it."""
    prior = arguments[-1]
    before = None if not isinstance(prior, PriorFound) else Before(2.1, prior.days)
    return reader.Reading(result(), "1.2.3", 4.2, before=before)


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    toy = ToyReader()
    toy.answer = by_prior
    for clinic in made(tmp_path, package, toy):
        clinic.define(more=PRIOR)
        clinic.register()
        clinic.deploy()
        yield clinic


def came(clinic: Clinic, number: int, **values: str) -> None:
    """A study of the same person as every other, unless `values` say otherwise."""
    who = {"PatientID": "7", "IssuerOfPatientID": "trust", "PatientBirthDate": "19600101"}
    clinic.arrive(number, **(who | values))
    clinic.pathway.tick()


def why(clinic: Clinic) -> list[str]:
    """Of each study, in order of arrival."""
    with clinic.node.database.reading() as session:
        return [place.reason for place in worklist(session, clinic.node.clock())]


def test_the_newest_earlier_study_is_read_beside_it_and_the_worklist_says_so(clinic: Clinic) -> None:
    came(clinic, 0, StudyDate="20261001")
    came(clinic, 1, StudyDate="20261015")
    came(clinic, 2, StudyDate="20261101")
    first, second, third = clinic.lines()
    assert (third.prior, third.prior_days) == (second.study, 17)
    assert third.finding == "lesion marked, 4.2 ml (2.1 ml 17 days before)"
    assert (first.prior, first.prior_days, first.finding) == ("", None, "lesion marked, 4.2 ml")
    told = why(clinic)
    assert told[0].endswith("read by itself: no earlier study that will do is kept here")
    assert told[2].endswith("read beside a study of 17 days before")


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "8"},
        {"IssuerOfPatientID": "another trust"},
        {"PatientBirthDate": "19610101"},
        {"StudyDate": "20260701"},
        {"StudyDate": "20261102"},
        {"StudyDate": ""},
        {"Modality": "CT"},
    ],
    ids=["another person", "another issuer", "another birth date", "too old", "later", "no date", "another modality"],
)
def test_a_study_that_may_be_somebody_elses_or_wont_do_is_none(clinic: Clinic, other: dict[str, str]) -> None:
    came(clinic, 0, **({"StudyDate": "20261015"} | other))
    came(clinic, 1, StudyDate="20261101")
    assert clinic.lines()[1].prior == ""


def test_people_without_a_number_have_no_earlier_study(clinic: Clinic) -> None:
    came(clinic, 0, StudyDate="20261015", PatientID="")
    came(clinic, 1, StudyDate="20261101", PatientID="")
    assert clinic.lines()[1].prior == ""


def test_what_was_purged_is_no_earlier_study(clinic: Clinic) -> None:
    came(clinic, 0, StudyDate="20261015")
    came(clinic, 1, StudyDate="20261016")
    node = clinic.node
    node.clock.time += timedelta(hours=1)
    assert purge_clinical(node.database, node.door.clinical, older_than=node.clock(), actor="program").studies == 2
    came(clinic, 2, StudyDate="20261101")
    assert [line.prior_days for line in clinic.lines()] == [None, 1, None]


def test_the_file_may_name_another_series_for_it(clinic: Clinic) -> None:
    clinic.define(more=PRIOR + "when = 'SeriesDescription like \"*before*\"'\n")
    came(clinic, 0, StudyDate="20261001", SeriesDescription="flair before")
    came(clinic, 1, StudyDate="20261015", SeriesDescription="flair")
    came(clinic, 2, StudyDate="20261101", SeriesDescription="flair")
    assert clinic.lines()[2].prior_days == 31
    _, _, last = clinic.worker.reads
    assert len(last[-1].files) == 4


def test_who_is_who_is_in_no_database(clinic: Clinic) -> None:
    came(clinic, 0, StudyDate="20261015", PatientID="NUMBER-OF-SOMEBODY")
    came(clinic, 1, StudyDate="20261101", PatientID="NUMBER-OF-SOMEBODY")
    assert clinic.lines()[1].prior_days == 17
    with clinic.node.database.reading() as session:
        url = session.get_bind().url.database  # type: ignore[union-attr]  # an engine's
    assert b"NUMBER-OF-SOMEBODY" not in b"".join(file.read_bytes() for file in Path(str(url)).parent.glob("*.db*"))
