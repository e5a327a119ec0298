"""Records made up at random with every kind of hole, in memory and in engines, and questions about them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
from hypothesis import strategies as st
from ibis.backends import BaseBackend

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import (
    AgeAt,
    All,
    Any_,
    AtIndex,
    Code,
    CodeSet,
    Death,
    EthnicityIs,
    Imaging,
    Index,
    Measurement,
    Not,
    Order,
    Recorded,
    SexIs,
)
from wardround.foundation.database import Database
from wardround.node.cohort.selection import LABEL_MODALITY
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclavePatient, EnclaveSeries, EnclaveStudy
from wardround.node.records.schema import TABLES

Rows = dict[str, list[dict[str, Any]]]
FIRST_DAY = date(2019, 12, 20)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONCEPTS = (11, 12, 13, 21, 22)
"""12 and 13 lie below 11, 22 below 21; the source concept 91 (SNOMED A) maps to 11."""
TEXTS = ("Axial FLAIR thin", "axial t1", "Schädel SAG", None)
MAKERS = ("SIEMENS Healthineers", "Philips", "GE MEDICAL", None)


def made_up(seed: int, persons: int = 40) -> Rows:
    """Few days, few codes and many nulls, so that ties, same days and missing values meet in every way."""
    chance = random.Random(seed)  # noqa: S311 - test data
    rows: Rows = {name: [] for name in TABLES}
    rows["concept"] = [
        {
            "concept_id": number,
            "concept_name": str(number),
            "domain_id": "Condition",
            "vocabulary_id": "SNOMED",
            "concept_class_id": "x",
            "concept_code": code,
        }
        for number, code in ((11, "B"), (12, "C"), (13, "D"), (21, "E"), (22, "F"), (91, "A"))
    ]
    rows["concept_ancestor"] = [
        {
            "ancestor_concept_id": above,
            "descendant_concept_id": below,
            "min_levels_of_separation": 0,
            "max_levels_of_separation": 1,
        }
        for above, below in ((11, 11), (11, 12), (11, 13), (12, 12), (13, 13), (21, 21), (21, 22), (22, 22))
    ]
    rows["concept_relationship"] = [{"concept_id_1": 91, "concept_id_2": 11, "relationship_id": "Maps to"}]

    def day() -> date:
        return FIRST_DAY + timedelta(days=chance.choice((0, 0, 1, 2, 11, 12, 13, 30, 70, 71, 400)))

    def event(table: str, stem: str, number: int, person: int, dated: str) -> dict[str, Any]:
        code, source = chance.choice(((0, "LOCAL:z"), (11, "SNOMED:B"), (12, None), (13, "SNOMED:D"), (21, "SNOMED:E")))
        return {
            f"{table}_id": number,
            "person_id": person,
            f"{stem}_concept_id": code,
            f"{stem}_source_value": source,
            f"{stem}_source_concept_id": chance.choice((None, None, 0, 91, 22)),
            dated: day(),
            f"{stem}_type_concept_id": 0,
            "origin": 1,
        }

    number = 0
    for person in range(1, persons + 1):
        year = chance.choice((None, 1940, 1979, 1980, 2001, 2019))
        month = chance.choice((None, 1, 2, 12))
        rows["person"].append(
            {
                "person_id": person,
                "gender_concept_id": chance.choice((8532, 8507, 8521, 0)),
                "year_of_birth": year,
                "month_of_birth": month,
                "day_of_birth": chance.choice((None, 1, 20, 29)),
                "race_concept_id": chance.choice((0, 11, 21)),
                "ethnicity_concept_id": chance.choice((0, 12)),
                "person_source_value": f"P{person}",
            }
        )
        rows["person_word"].append({"person_id": person, "word": chance.getrandbits(63)})
        for table, stem, dated in (
            ("condition_occurrence", "condition", "condition_start_date"),
            ("procedure_occurrence", "procedure", "procedure_date"),
            ("drug_exposure", "drug", "drug_exposure_start_date"),
            ("observation", "observation", "observation_date"),
        ):
            for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
                number += 1
                rows[table].append(event(table, stem, number, person, dated))
        for _ in range(chance.choice((0, 1, 2))):
            number += 1
            rows["measurement"].append(
                event("measurement", "measurement", number, person, "measurement_date")
                | {
                    "value_as_number": chance.choice((None, 0.0, 0.12, 1.2, 12.0, 120.0, 1200.0)),
                    "operator_concept_id": chance.choice((None, None, 4172703, 4172704, 4171756)),
                    "unit_concept_id": chance.choice((0, None, 8749, 8753)),
                    "unit_source_value": chance.choice((None, "mmol/L", "UCUM:umol/L", "furlong")),
                }
            )
        if chance.random() < 0.3:
            rows["death"].append({"person_id": person, "death_date": day(), "origin": 1})
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            number += 1
            rows["image_occurrence"].append(
                {
                    "image_occurrence_id": number,
                    "person_id": person,
                    "image_occurrence_date": chance.choice((day(), day(), None)),
                    "image_study_uid": f"1.{person}",
                    "image_series_uid": f"1.{person}.{number}",
                    "modality_concept_id": 0,
                    "modality": chance.choice(("MR", "MR", "CT", None)),
                    "body_part": chance.choice(("BRAIN", "BRAIN", "CHEST", None)),
                    "description": chance.choice(TEXTS),
                    "manufacturer": chance.choice(MAKERS),
                    "slice_thickness_mm": chance.choice((None, 0.5, 1.0, 5.0)),
                    "has_label": chance.choice((True, False, None)),
                    "age_years": chance.choice((None, None, 0, 18, 40, 79)),
                }
            )
    for table in rows.values():
        chance.shuffle(table)
    return rows


def fill(backend: BaseBackend, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Make the tables of the schema and put `rows` into them."""
    mark = "?" if backend.name == "duckdb" else "%s"
    cursor = backend.con.cursor()
    for table in TABLES.values():
        columns = ", ".join(f"{column.name} {column.type.value}" for column in table.columns)
        cursor.execute(f"CREATE TABLE {table.name} ({columns})")
        if rows.get(table.name):
            marks = ", ".join([mark] * len(table.columns))
            cursor.executemany(
                f"INSERT INTO {table.name} VALUES ({marks})",  # noqa: S608 - names of the schema
                [[row.get(name) for name in table.names] for row in rows[table.name]],
            )
    if backend.name != "duckdb":
        backend.con.commit()
    cursor.close()


@contextmanager
def on_duckdb(rows: Rows) -> Iterator[BaseBackend]:
    backend = ibis.duckdb.connect(threads=1)
    try:
        fill(backend, rows)
        yield backend
    finally:
        backend.disconnect()


@contextmanager
def on_postgresql(rows: Rows, folder: Path, database: str) -> Iterator[BaseBackend]:
    backend = ibis.postgres.connect(host=str(folder), user="postgres", database=database)
    try:
        fill(backend, rows)
        yield backend
    finally:
        backend.disconnect()


CODE_SETS = st.one_of(
    st.builds(
        CodeSet,
        concepts=st.lists(st.sampled_from(CONCEPTS), min_size=1, max_size=2).map(tuple),
        descendants=st.booleans(),
    ),
    st.builds(
        CodeSet,
        codes=st.lists(
            st.sampled_from(
                [
                    *(Code(vocabulary="SNOMED", code=code) for code in "ABCDEF"),
                    Code(vocabulary="LOCAL", code="z"),
                ]
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
        descendants=st.booleans(),
    ),
)


def _bounded(low: st.SearchStrategy[Any], kind: Any, names: tuple[str, str], **more: Any) -> st.SearchStrategy[Any]:
    def build(pair: tuple[Any, Any], rest: dict[str, Any]) -> Any:
        first, second = pair
        if first is not None and second is not None and first > second:
            first, second = second, first
        return kind(**{names[0]: first, names[1]: second}, **rest)

    return st.builds(build, st.tuples(low, low), st.fixed_dictionaries(more))


IMAGES = _bounded(
    st.sampled_from([None, None, None, 0.5, 1.0, 4.0]),
    Imaging,
    ("min_thickness", "max_thickness"),
    modality=st.sampled_from([None, "MR", "CT"]),
    body_part=st.sampled_from([None, None, "BRAIN"]),
    description=st.sampled_from([None, None, "AXIAL", "thin axial", "sch\u00e4del"]),
    manufacturer=st.sampled_from([None, None, "siemens", "ge"]),
    has_label=st.sampled_from([None, None, True, False]),
)
VALUES = st.sampled_from([0.0, 0.12, 1.0, 12.0, 120.0])


def _measured(codes: CodeSet, low: float | None, high: float | None, unit: str) -> Measurement:
    if low is not None and high is not None and low > high:
        low, high = high, low
    return Measurement(codes=codes, min=low, max=high, unit=None if low is None and high is None else unit)


EVENTS = st.one_of(
    IMAGES,
    st.builds(Recorded, kind=st.sampled_from(["condition", "procedure", "drug", "observation"]), codes=CODE_SETS),
    st.builds(
        _measured, CODE_SETS, st.none() | VALUES, st.none() | VALUES, st.sampled_from(["umol/L", "mmol/L", "mol/L"])
    ),
    st.just(Death()),
)


def criteria(indexed: bool, events: st.SearchStrategy[Any] = EVENTS) -> st.SearchStrategy[Any]:
    moments = events | st.just(AtIndex()) if indexed else events
    ages = st.sampled_from([None, 0, 17, 18, 39, 40, 41, 79])

    def age(at: Any, low: int | None, high: int | None) -> AgeAt:
        if low is None and high is None:
            low = 18
        if low is not None and high is not None and low > high:
            low, high = high, low
        return AgeAt(at=at, min=low, max=high)

    def order(event: Any, when: str, other: Any, low: int, more: int | None) -> Any:
        if event == other or (when == "around" and more is None):
            low, more = max(low, 1), more or 60
        if isinstance(event, AtIndex) and isinstance(other, AtIndex):
            other = Imaging(modality="MR")
        return Order(event=event, when=when, other=other, min_days=low, max_days=None if more is None else low + more)

    leaves = st.one_of(
        events,
        st.builds(age, moments, ages, ages),
        st.builds(SexIs, any_of=st.lists(st.sampled_from("FMO"), min_size=1, max_size=2).map(tuple)),
        st.builds(
            order,
            moments,
            st.sampled_from(["before", "after", "around"]),
            moments,
            st.sampled_from([0, 0, 1, 2, 11]),
            st.sampled_from([None, 0, 1, 60]),
        ),
    )
    if events is EVENTS:
        leaves |= st.builds(EthnicityIs, codes=CODE_SETS)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(All, of=st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Any_, of=st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Not, of=inner),
        ),
        max_leaves=6,
    )


@st.composite
def questions(draw: st.DrawFn, events: st.SearchStrategy[Any] = EVENTS) -> CohortQuestion:
    """Any question that isn't refused for a contradiction."""
    from hypothesis import assume
    from pydantic import ValidationError

    index = draw(st.none() | st.builds(Index, event=events, which=st.sampled_from(["first", "last"])))
    where = draw(criteria(index is not None, events) | st.none())
    try:
        return CohortQuestion(index=index, where=where)
    except ValidationError:
        assume(False)
        raise


def images_alone(rows: Rows) -> Rows:
    """What the enclave knows of the same: persons with images, no births, and whether a series has a label."""
    images = [{**row, "has_label": bool(row["has_label"])} for row in rows["image_occurrence"]]
    there = {row["person_id"] for row in images}
    persons = [
        {"person_id": row["person_id"], "gender_concept_id": row["gender_concept_id"]}
        for row in rows["person"]
        if row["person_id"] in there
    ]
    return {"person": persons, "image_occurrence": images}


def in_enclave(database: Database, rows: Rows) -> None:
    """The rows of `images_alone` as the enclave's index has them."""
    sexes = {8532: "F", 8507: "M", 8521: "O"}
    with database.writing() as session:
        for row in rows["person"]:
            session.add(EnclavePatient(pseudonym=f"P{row['person_id']}", sex=sexes.get(row["gender_concept_id"])))
        session.flush()
        for person in {row["person_id"] for row in rows["image_occurrence"]}:
            session.add(EnclaveStudy(uid=f"2.{person}", pseudonym=f"P{person}", statements=[]))
        for row in rows["image_occurrence"]:
            # The day of every second series is its study's; a series' own goes before that.
            day = row["image_occurrence_date"]
            other = day if row["image_occurrence_id"] % 2 else day and NOON.date()
            study = EnclaveStudy(uid=f"{row['image_series_uid']}.0", pseudonym=f"P{row['person_id']}", date=other)
            study.statements = []
            session.add(study)
        session.flush()
        for row in rows["image_occurrence"]:
            person, uid = row["person_id"], row["image_series_uid"]
            session.add(
                EnclaveSeries(
                    uid=uid,
                    study_uid=f"{uid}.0",
                    pseudonym=f"P{person}",
                    modality=row["modality"],
                    body_part=row["body_part"],
                    age=row["age_years"],
                    manufacturer=row["manufacturer"],
                    thickness=row["slice_thickness_mm"],
                    description=row["description"],
                    date=None if row["image_occurrence_id"] % 2 else row["image_occurrence_date"],
                )
            )
            if row["has_label"]:
                session.add(
                    EnclaveSeries(
                        uid=f"{uid}.9", study_uid=f"2.{person}", pseudonym=f"P{person}", modality=LABEL_MODALITY
                    )
                )
        session.flush()
        labelled = [row for row in rows["image_occurrence"] if row["has_label"]]
        for row in labelled:
            uid = f"{row['image_series_uid']}.9"
            session.add(
                EnclaveInstance(
                    uid=f"{uid}.1", series_uid=uid, sop_class="1.2", digest="0" * 64, size=1, indexed_at=NOON, frames=1
                )
            )
        session.flush()
        for row in labelled:
            session.add(
                EnclaveLabel(
                    uid=f"{row['image_series_uid']}.9.1",
                    pseudonym=f"P{row['person_id']}",
                    labelled_series_uid=row["image_series_uid"],
                    is_reference=True,
                )
            )
