"""The enclave's images are in the health records as they are in the enclave, joined to the same persons."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pydicom
import pytest
from sqlalchemy import func, select
from tests import postgresql
from tests.front_door import SECRET, FrontDoor, edited, studies
from tests.records_lab import Lab, condition, person

from wardround.contracts.cohort_builder import codes, imaging, patients
from wardround.contracts.cohort_builder import condition as diagnosis
from wardround.contracts.cohort_query import CohortQuestion
from wardround.node.cohort.census import Census
from wardround.node.cohort.counting import EnclaveCounting
from wardround.node.cohort.noise import PersonWords
from wardround.node.deidentify.erasure import Erasures
from wardround.node.deidentify.received import Places
from wardround.node.deidentify.vault import Vault
from wardround.node.desk import Desk
from wardround.node.enclave.purge import Scope, order_purge
from wardround.node.enclave.tables import EnclaveChange, EnclaveSeries
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.records.errors import RecordsBusy
from wardround.node.records.images import Images
from wardround.node.records.leaving import Leaving
from wardround.node.records.schema import FEMALE, MALE
from wardround.node.records.store import Records

BOTH = pytest.mark.parametrize("site", ["duckdb", "postgresql"], indirect=True)
HIP = diagnosis(codes("ICD10CM", "S72.0"))
WHO = {"actor": "person:Dr Aster", "reason": "asked by the patient"}


class Site:
    """A front door whose enclave the records follow."""

    def __init__(self, folder: Path, database: str) -> None:
        self.door = FrontDoor(folder)
        self.lab = Lab(folder, database)
        self.lab.vault.close()
        self.lab.vault = self.lab.people.vault = self.door.vault
        self.images = Images(self.door.database, self.lab.records, self.lab.keys)
        self.leaving = Leaving(self.lab.records, self.lab.keys)

    def patient(self, number: int) -> tuple[str, str]:
        ds = pydicom.dcmread(BytesIO(studies()[number].slices[0]))
        return str(ds.PatientID), str(ds.IssuerOfPatientID)

    def pseudonym(self, number: int) -> str:
        return self.lab.pseudonyms.patient(*self.patient(number))

    def shown(self) -> list[str]:
        """Whom the records have images of."""
        joined = "SELECT p.person_source_value FROM image_occurrence i JOIN person p ON p.person_id = i.person_id"
        return sorted(row[0] for row in self.lab.rows(joined))

    def people(self) -> list[str]:
        return sorted(row[0] for row in self.lab.rows("SELECT person_source_value FROM person"))

    def waiting(self) -> int:
        with self.door.database.reading() as session:
            return session.scalar(select(func.count()).select_from(EnclaveChange)) or 0

    def erasures(self) -> Erasures:
        door = self.door
        places = Places(
            door.quarantine, door.clinical, door.home / "results", door.objects, door.home / "enclave" / "volumes"
        )
        return Erasures(door.database, door.vault, places, door.purges, SECRET, door.clock, records=self.leaving)


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    database = ""
    if getattr(request, "param", "duckdb") == "postgresql":
        database = postgresql.fresh_database(request.getfixturevalue("postgresql_server"))
    made = Site(tmp_path, database)
    yield made
    made.lab.database.close()
    made.door.close()


@BOTH
def test_each_series_is_there_once_with_what_the_index_says_of_it(site: Site) -> None:
    for study in studies():
        site.door.give_study(study)
    site.door.tick()
    assert site.images.tick() == 2
    assert site.waiting() == 0
    with site.door.database.reading() as session:
        index = {row.uid: row for row in session.scalars(select(EnclaveSeries).where(EnclaveSeries.modality != "SEG"))}
    rows = site.lab.rows(
        "SELECT image_series_uid, modality, age_years, has_label, image_occurrence_date, person_id, "
        "slice_thickness_mm FROM image_occurrence"
    )
    assert {row[0] for row in rows} == index.keys()
    for uid, modality, age, labelled, day, number, thickness in rows:
        one = index[uid]
        assert (modality, age, day, thickness) == (one.modality, one.age, one.date, one.thickness)
        assert labelled, "each has its reference segmentation"
        assert number == site.lab.keys.person(one.pseudonym)
    before = site.lab.everything()
    assert site.images.tick() == 0
    assert site.lab.everything() == before


def test_images_and_records_are_of_one_person_and_records_say_more(site: Site) -> None:
    site.door.give_study(studies()[0])
    site.door.tick()
    site.images.tick()
    [(sex, year, word)] = site.lab.rows(
        "SELECT p.gender_concept_id, p.year_of_birth, w.word FROM person p JOIN person_word w "
        "ON w.person_id = p.person_id"
    )
    with site.door.database.reading() as session:
        series = session.scalars(select(EnclaveSeries).where(EnclaveSeries.modality != "SEG")).one()
    assert sex in (FEMALE, MALE)
    assert series.date is not None and series.age is not None
    assert abs(year - (series.date.year - series.age)) <= 1
    assert word == PersonWords(SECRET).word(series.pseudonym), "the noise of counts is keyed to it"

    born = year - timedelta(days=site.lab.pseudonyms.days(*site.patient(0))).days // 365 + 5
    row = person(site.patient(0), date(born, 6, 1), MALE if sex == FEMALE else FEMALE)
    report = site.lab.load(row, condition(site.patient(0), day=date(2024, 1, 1)))
    assert report.rejections == 0, "what images say contradicts nobody"
    [(said, of_year)] = site.lab.rows("SELECT gender_concept_id, year_of_birth FROM person")
    assert said == row.values["gender_concept_id"]
    assert of_year != year
    joined = site.lab.rows(
        "SELECT count(*) FROM image_occurrence i JOIN condition_occurrence c ON c.person_id = i.person_id"
    )
    assert joined == [(1,)]


def test_a_study_is_there_once_it_is_whole_and_not_while_more_of_it_comes(site: Site) -> None:
    study = studies()[0]
    site.door.give(*study.slices[:2])
    assert site.door.reception.settle(60)
    site.door.deidentification.tick()
    site.images.tick()
    assert (site.shown(), site.people()) == ([], [])
    assert site.lab.one("SELECT count(*) FROM image_occurrence") == 0
    site.door.give(*study.slices[2:])
    site.door.tick()
    site.images.tick()
    assert site.shown() == [site.pseudonym(0)]
    assert site.lab.one("SELECT has_label FROM image_occurrence") is False
    site.door.give(study.segmentation)
    site.door.tick()
    site.images.tick()
    assert site.lab.one("SELECT has_label FROM image_occurrence") is True


def test_more_of_a_study_is_followed_once_it_is_whole_and_a_late_instance_at_once(site: Site) -> None:
    study = studies()[0]

    def arrive(*objects: bytes) -> None:
        site.door.give(*objects)
        assert site.door.reception.settle(60)
        site.door.deidentification.tick()

    arrive(study.slices[0])
    assert site.images.tick() == 1
    arrive(*study.slices[1:3])
    assert site.waiting() == 0, "the records have nothing of it, nor will they before it is whole"
    site.door.give(study.slices[3])
    site.door.tick()
    site.images.tick()
    assert site.shown() == [site.pseudonym(0)]
    arrive(study.segmentation)
    site.images.tick()
    assert site.shown() == [], "it is coming in again"


@BOTH
def test_what_a_project_would_freeze_is_of_whom_the_records_name_and_nobody_who_left(site: Site) -> None:
    """From the same question as the count: opt-outs and purges hold before the records have followed the enclave."""
    for study in studies():
        site.door.give_study(study)
    site.door.tick()
    site.images.tick()
    site.lab.load(condition(site.patient(0)), condition("RECORDS-ONLY", "c2"))
    desk, database = Desk(cast(Any, None)), site.door.database
    counting = EnclaveCounting(database, PersonWords(SECRET))
    census = Census(site.lab.records, database, site.lab.keys, counting)
    vars(desk).update(census=census, enclave=site.door.enclave)
    scan = imaging(modality="MR")
    everybody, broken = patients.with_(scan).question(), patients.with_(scan).with_(HIP).question()

    def frozen(question: CohortQuestion) -> set[str]:
        found = {case.pseudonym for case in desk.cases(question)}
        assert census(question, ()).people.people >= len(found)
        return found

    assert frozen(everybody) == {site.pseudonym(0), site.pseudonym(1)}
    assert frozen(broken) == {site.pseudonym(0)}
    with database.writing() as session:
        key = session.scalars(select(PatientKey.key).where(PatientKey.pseudonym == site.pseudonym(0))).first()
        session.add(OptOut(key=key, kind="patient", scheme=None, added_at=site.door.clock(), added_by="person:ig"))
    assert frozen(broken) == set()
    assert census(broken, ()).people.people == 0
    with database.writing() as session:
        scope = Scope("patient", site.pseudonym(1))
        order_purge(session, scope, site.door.purges, at=site.door.clock(), **WHO)
    assert frozen(everybody) == set()


@BOTH
def test_what_is_purged_leaves_and_who_has_records_stays(site: Site) -> None:
    for study in studies():
        site.door.give_study(study)
    site.door.tick()
    site.images.tick()
    site.lab.load(condition(site.patient(0)))
    with site.door.database.writing() as session:
        for number in (0, 1):
            scope = Scope("patient", site.pseudonym(number))
            order_purge(session, scope, site.door.purges, at=site.door.clock(), **WHO)
    site.images.tick()
    assert site.shown() == []
    assert site.people() == [site.pseudonym(0)]
    assert site.lab.rows("SELECT gender_concept_id, year_of_birth FROM person") == [(0, None)]
    assert site.lab.one("SELECT count(*) FROM person_word") == 1


def test_a_crash_between_records_and_enclave_is_followed_once_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.door.give_study(studies()[0])
    site.door.tick()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("wardround.node.records.images.followed", crash)
        with pytest.raises(KeyboardInterrupt):
            site.images.tick()
    before = site.lab.everything()
    assert site.waiting() > 0
    site.images.tick()
    assert site.waiting() == 0
    assert site.lab.everything() == before
    assert site.shown() == [site.pseudonym(0)]


@BOTH
def test_an_erasure_takes_images_and_records_and_who_stays_loses_nothing(site: Site) -> None:
    for study in studies():
        site.door.give_study(study)
    site.door.tick()
    site.images.tick()
    site.lab.load(person(site.patient(0), None, None), condition(site.patient(0)), condition(site.patient(1), "c2"))
    every = site.erasures()
    found = every.find([], patient_id=site.patient(0)[0], **WHO)
    assert found.counts["health records"] == 7, "person, word, two statements, period, condition, image"
    every.order(found, **WHO)
    every.finish()
    site.images.tick()
    assert site.people() == site.shown() == [site.pseudonym(1)]
    assert site.leaving.kept([site.pseudonym(0)]) == 0
    number = site.lab.keys.person(site.pseudonym(0))
    assert str(number) not in repr(site.lab.everything())


def test_an_erasure_finds_who_has_records_and_no_image(site: Site) -> None:
    site.lab.load(condition("RECORDS-ONLY"))
    every = site.erasures()
    found = every.find([], patient_id="RECORDS-ONLY", **WHO)
    every.order(found, **WHO)
    every.finish()
    assert site.people() == []
    assert site.door.vault.pseudonyms() == set()
    with site.door.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(PatientKey)) == 0


def test_an_erasure_waits_for_who_has_the_records_and_is_finished_afterwards(site: Site) -> None:
    site.lab.load(condition("A"))
    site.leaving = Leaving(Records(site.lab.folder / "omop", patience=0.1), site.lab.keys)
    every = site.erasures()
    found = every.find([], patient_id="A", **WHO)
    number = every.order(found, **WHO)
    with site.lab.records.writing(), pytest.raises(RecordsBusy):
        every.finish()
    assert site.door.vault.pseudonyms() == {site.lab.pseudonyms.patient("A")}, "nothing is forgotten before"
    assert every.finish() == [number]
    assert site.people() == []


def test_the_vault_knows_one_patient_by_images_and_by_records(site: Site) -> None:
    site.door.give(edited(studies()[0].slices[0], PatientName="Doe^Jane"))
    site.door.tick()
    site.lab.load(condition(site.patient(0), others=(("9434765919", ""),)))
    vault: Vault = site.door.vault
    who = vault.reveal(site.pseudonym(0), **WHO)
    assert (who.patient_id, who.name) == (site.patient(0)[0], "Doe^Jane")
    assert ("9434765919", "") in who.other_ids
