"""Opt-outs reach people of whom there are health records and no image: by any id, by hashed lists, and by purges."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.front_door import joined
from tests.records_lab import HIP, given

from wardround.node.deidentify.department import Department
from wardround.node.home import NodeHome
from wardround.node.optout.actions import add
from wardround.node.optout.identifier import Kind, Scheme
from wardround.node.optout.listing import entry
from wardround.node.optout.queries import excluded
from wardround.node.optout.tables import PatientKey
from wardround.node.records.reasons import Reason
from wardround.node.records.report import Report
from wardround.node.records.row import PersonIdentity, Row
from wardround.node.records.wiring import loader_at, records_at

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
NHS = "9434765919"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Site:
    """A node's home with its records."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "node.toml").write_text(NODE)
        joined(folder)
        self.home = NodeHome(folder)
        self.department = Department(self.home)

    def load(self, patient: str, key: str, others: tuple[tuple[str, str], ...] = ()) -> Report:
        values = {"condition_concept_id": HIP, "condition_start_date": date(2020, 2, 3)}
        row = Row("condition_occurrence", key, PersonIdentity(patient, others=others), values, "line 1")
        loader = loader_at(self.home, self.department)
        return loader.load(given([row]), self.home.path, source="trust", actor="os:tests")

    def opt_out(self, kind: str, value: str, scheme: Scheme | None = None) -> None:
        entries = [entry(kind, value)]
        add(
            self.home.database,
            self.department.register,
            self.department.vault,
            entries,
            scheme=scheme,
            actor="os:tests",
            at=NOW,
        )

    def excluded(self) -> set[str]:
        with self.home.database.reading() as session:
            return set(session.scalars(excluded()))

    def people(self) -> set[str]:
        with records_at(self.home).writing() as connection:
            return {row[0] for row in connection.rows("SELECT person_source_value FROM person")}

    def pseudonym(self, patient: str) -> str:
        return self.department.pseudonyms.patient(patient)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "node")
    yield made
    made.department.close()
    made.home.close()


def test_an_opt_out_finds_who_has_records_alone(site: Site) -> None:
    site.load("A", "1", others=((NHS, ""),))
    site.load("B", "2")
    site.opt_out("nhs", NHS)
    assert site.excluded() == {site.pseudonym("A")}, "counts leave them out from the next question on"


def test_a_hashed_list_finds_who_has_records_alone(site: Site) -> None:
    site.load("A", "1", others=((NHS, ""),))
    site.load("B", "2")
    scheme = Scheme(Kind.HMAC, b"their key")
    site.opt_out("hmac-sha256", hmac.digest(b"their key", NHS.encode(), "sha256").hex(), scheme)
    assert site.excluded() == {site.pseudonym("A")}


def test_a_purge_takes_their_records_and_keeps_what_knows_them_again(site: Site) -> None:
    site.load("A", "1", others=((NHS, ""),))
    site.load("B", "2")
    site.opt_out("nhs", NHS)
    assert len(list(site.department.purge_opted_out(actor="os:tests"))) == 1
    assert site.people() == {site.pseudonym("B")}
    assert site.department.vault.pseudonyms() == {site.pseudonym("B")}
    report = site.load("A", "3")
    assert report.rejected[Reason.OPTED_OUT].count == 1, "though this record doesn't give the number that opted out"
    assert list(site.department.purge_opted_out(actor="os:tests")) == [], "nothing is left to purge"


def test_an_erasure_of_an_opted_out_person_keeps_no_key(site: Site) -> None:
    site.load("A", "1", others=((NHS, ""),))
    site.opt_out("nhs", NHS)
    erasures = site.department.erasures()
    found = erasures.find([], patient_id="A", actor="os:tests", reason="asked")
    erasures.order(found, actor="os:tests", reason="asked")
    erasures.finish()
    with site.home.database.reading() as session:
        assert session.scalars(select(PatientKey)).all() == []
