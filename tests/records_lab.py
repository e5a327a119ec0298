"""Health records of one site for tests: the store, who is who, and a loader, in one folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.database import Database
from wardround.node.deidentify.vault import Vault
from wardround.node.home import MIGRATIONS
from wardround.node.optout.register import Register
from wardround.node.records.keys import RecordKeys
from wardround.node.records.load import Loader
from wardround.node.records.people import People
from wardround.node.records.reasons import Reason
from wardround.node.records.report import Report
from wardround.node.records.row import Code, PersonIdentity, Reader, Rejected, Row, Value
from wardround.node.records.schema import FEMALE
from wardround.node.records.store import Connection, Records
from wardround.node.settings import RecordsSettings

SECRET = bytes(range(32))
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HIP = Code("ICD10CM", "S72.0")
HBA1C = Code("LOINC", "4548-4")


@dataclass
class Lab:
    """A site's records. Making a second one on the same folder is a restart."""

    folder: Path
    database_url: str = ""
    home_issuer: str = ""
    keys: RecordKeys = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(f"sqlite:///{self.folder / 'node.db'}", migrations=MIGRATIONS)
        if not (self.folder / "node.db").exists():
            self.database.upgrade()
        self.vault = Vault(self.folder / "vault.db", self.folder / "vault.key", audit=self.database)
        self.register = Register(SECRET, self.vault)
        self.pseudonyms = PseudonymKeys(SECRET)
        self.keys = RecordKeys(SECRET)
        self.people = People(self.database, self.vault, self.register, self.pseudonyms, self.keys, self.home_issuer)
        self.records = Records(self.folder / "omop", RecordsSettings(database=self.database_url), patience=5)
        self.loader = Loader(self.records, self.people, self.keys, clock=lambda: NOW)

    def load(self, *rows: Row | Rejected, source: str = "trust", in_order: bool = False, whole: bool = False) -> Report:
        return self.loader.load(
            given(rows), self.folder, source=source, actor="os:tests", in_order=in_order, whole=whole
        )

    def rows(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """What a statement finds in the records."""
        with self.records.writing() as connection:
            return connection.rows(sql, list(parameters))

    def one(self, sql: str) -> Any:
        [[value]] = self.rows(sql)
        return value

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is in the tables, in an order of its own."""
        with self.records.writing() as connection:
            return contents(connection)

    def days(self, patient: str) -> int:
        return self.pseudonyms.days(patient)

    def close(self) -> None:
        self.vault.close()
        self.database.close()


def contents(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    from wardround.node.records.schema import TABLES

    names = [*TABLES, "person_statement"]
    return {name: sorted(connection.rows(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608 - our names


Patient = str | tuple[str, str]
"""A patient's number, or one with its issuer."""


def identity(patient: Patient, others: tuple[tuple[str, str], ...] = ()) -> PersonIdentity:
    number, issuer = (patient, "") if isinstance(patient, str) else patient
    return PersonIdentity(number, issuer, others)


def given(rows: Iterable[Row | Rejected]) -> Reader:
    def read(_path: Path) -> Iterator[Row | Rejected]:
        yield from rows

    return read


def person(
    patient: Patient, born: date | None = date(1961, 5, 4), sex: int | None = FEMALE, *, key: str = "", **more: Value
) -> Row:
    values: dict[str, Value] = {"birth_datetime": born, "gender_concept_id": sex, **more}
    return Row("person", key or str(patient), identity(patient), values, f"person line {key or 1}")


def event(
    table: str,
    patient: Patient,
    key: str,
    values: Mapping[str, Value],
    *,
    where: str = "line 7",
    others: tuple[tuple[str, str], ...] = (),
) -> Row:
    return Row(table, key, identity(patient, others), values, where)


def condition(patient: Patient, key: str = "c1", day: date = date(2020, 2, 3), code: Value = HIP, **more: Any) -> Row:
    where = more.pop("where", "line 7")
    others = more.pop("others", ())
    values = {"condition_concept_id": code, "condition_start_date": day, **more}
    return event("condition_occurrence", patient, key, values, where=where, others=others)


def measurement(patient: Patient, key: str = "m1", value: float = 48.0, day: date = date(2020, 2, 4)) -> Row:
    return event(
        "measurement",
        patient,
        key,
        {
            "measurement_concept_id": HBA1C,
            "measurement_date": day,
            "value_as_number": value,
            "unit_concept_id": Code("UCUM", "mmol/mol"),
        },
    )


def gone(row: Row) -> Row:
    return Row(row.table, row.key, row.person, {}, row.where, removed=True)


def reasons(report: Report) -> dict[Reason, int]:
    return {reason: one.count for reason, one in report.rejected.items()}
