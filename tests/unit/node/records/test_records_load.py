"""A load puts what a source says into the records, shifted and pseudonymous, once and for good; or says why not."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import records_lab
from tests.records_lab import NOW, Lab, condition, event, gone, measurement, person, reasons

from wardround.node.optout.actions import add
from wardround.node.optout.listing import entry
from wardround.node.records.errors import RecordsBusy, RecordsRefused
from wardround.node.records.history import past_loads
from wardround.node.records.reasons import WORDS, Reason
from wardround.node.records.report import PLACES, Changes, Report
from wardround.node.records.row import Code, PersonIdentity, Rejected, Row
from wardround.node.records.schema import FEMALE, MALE, TABLES
from wardround.node.records.store import Records

PATIENT = "ZQX4711"


def visit(patient: str, key: str, day: date = date(2020, 2, 3), end: date | None = None) -> Row:
    return event(
        "visit_occurrence", patient, key, {"visit_concept_id": 9201, "visit_start_date": day, "visit_end_date": end}
    )


def test_a_record_is_its_persons_whose_images_are_known_by_the_same_number(lab: Lab) -> None:
    report = lab.load(person(PATIENT), condition(PATIENT), measurement(PATIENT))
    assert (report.read, report.changes.added, report.rejections) == (3, 3, 0)
    [(number, pseudonym, sex)] = lab.rows("SELECT person_id, person_source_value, gender_concept_id FROM person")
    assert pseudonym == lab.pseudonyms.patient(PATIENT)
    assert number == lab.keys.person(pseudonym)
    assert sex == FEMALE
    assert lab.rows("SELECT person_id, word FROM person_word") == [(number, lab.keys.word(pseudonym))]
    assert {row[0] for row in lab.rows("SELECT person_id FROM measurement")} == {number}
    assert lab.vault.reveal(pseudonym, actor="os:tests", reason="a test").patient_id == PATIENT


def test_every_date_moves_by_the_persons_own_days(lab: Lab) -> None:
    stamp = datetime(2020, 2, 3, 23, 30, tzinfo=UTC)
    lab.load(
        person(PATIENT, date(1961, 5, 4)), condition(PATIENT, day=date(2020, 2, 3), condition_start_datetime=stamp)
    )
    moved = timedelta(days=lab.days(PATIENT))
    born = date(1961, 5, 4) + moved
    assert lab.rows("SELECT year_of_birth, month_of_birth, day_of_birth FROM person") == [
        (born.year, born.month, born.day)
    ]
    assert lab.rows("SELECT condition_start_date, condition_start_datetime FROM condition_occurrence") == [
        (date(2020, 2, 3) + moved, datetime(2020, 2, 3, 23, 30) + moved)
    ]


def test_nothing_of_a_load_tells_who_somebody_is(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    lab.load(person(PATIENT), condition(PATIENT, key=f"key of {PATIENT}"), condition(PATIENT, "c2", date(2999, 1, 1)))
    kept = repr(lab.everything()) + repr(lab.rows("SELECT * FROM record_load"))
    assert PATIENT not in kept + caplog.text
    assert "1961" not in kept
    assert "2999" not in kept
    for file in (lab.folder / "omop").rglob("*"):
        if file.is_file():
            assert PATIENT.encode() not in file.read_bytes(), file.name


def test_nobody_but_the_nodes_account_can_read_it(lab: Lab) -> None:
    (lab.folder / "omop").mkdir(mode=0o755)
    lab.load(person(PATIENT))
    assert (lab.folder / "omop").stat().st_mode & 0o777 == 0o700


def test_the_same_load_again_changes_nothing(lab: Lab) -> None:
    rows = [person(PATIENT), condition(PATIENT), measurement(PATIENT), visit(PATIENT, "v1"), condition("other", "c9")]
    lab.load(*rows)
    before = lab.everything()
    report = lab.load(*rows)
    assert lab.everything() == before
    assert report.changes == Changes(unchanged=5)


def test_a_changed_row_replaces_what_was_said_under_its_key(lab: Lab) -> None:
    lab.load(person(PATIENT), measurement(PATIENT, value=48), measurement(PATIENT, "m2", 50))
    report = lab.load(person(PATIENT), measurement(PATIENT, value=53), measurement(PATIENT, "m2", 50))
    assert report.tables["measurement"] == Changes(changed=1, unchanged=1)
    assert sorted(lab.rows("SELECT value_as_number FROM measurement")) == [(50.0,), (53.0,)]


def test_a_record_that_is_taken_back_goes_and_so_does_who_had_nothing_else(lab: Lab) -> None:
    lab.load(person("A"), condition("A"), condition("B", "c2"))
    assert lab.one("SELECT count(*) FROM person") == 2
    report = lab.load(gone(condition("A")), gone(condition("B", "c2")), gone(condition("B", "never there")))
    assert report.tables["condition_occurrence"] == Changes(removed=2, unchanged=1)
    assert lab.one("SELECT count(*) FROM condition_occurrence") == 0
    assert lab.rows("SELECT person_source_value FROM person") == [(lab.pseudonyms.patient("A"),)]
    assert lab.one("SELECT count(*) FROM person_word") == 1
    assert lab.one("SELECT count(*) FROM observation_period") == 0


def test_what_a_whole_export_no_longer_has_goes_and_nothing_else(lab: Lab) -> None:
    first = [person("A"), person("B"), condition("A"), condition("B", "c2"), measurement("B")]
    lab.load(*first)
    lab.load(condition("B", "c1"), source="clinic")
    report = lab.load(*first, whole=True)
    assert report.changes == Changes(unchanged=5), "all of it is there again"
    assert lab.load(person("A"), condition("A")).changes == Changes(unchanged=2), "an export in part takes nothing out"
    report = lab.load(person("A"), condition("A"), whole=True)
    assert report.tables["condition_occurrence"] == Changes(unchanged=1, removed=1)
    assert report.tables["person"] == Changes(unchanged=1, removed=1)
    assert lab.one("SELECT count(*) FROM condition_occurrence") == 2, "the other source's stays"
    assert lab.one("SELECT count(*) FROM measurement") == 1, "a table that the export doesn't have stays as it is"
    assert lab.rows("SELECT gender_concept_id, year_of_birth FROM person WHERE gender_concept_id = 0") == [(0, None)]
    lab.load(person("A"), measurement("A", "m9"), whole=True)
    assert lab.rows("SELECT DISTINCT person_source_value FROM measurement JOIN person USING (person_id)") == [
        (lab.pseudonyms.patient("A"),)
    ]
    assert lab.load(person("B"), whole=True).tables["person"] == Changes(added=1, removed=1)


def test_a_person_who_is_taken_back_stays_while_there_is_a_record_of_theirs(lab: Lab) -> None:
    lab.load(person("A"), condition("A"))
    report = lab.load(gone(person("A")))
    assert report.tables["person"] == Changes(removed=1)
    assert lab.rows("SELECT gender_concept_id, year_of_birth FROM person") == [(0, None)]
    assert lab.load(gone(person("A"))).changes.removed == 0
    lab.load(gone(condition("A")))
    assert lab.one("SELECT count(*) FROM person") == 0


def test_a_person_who_is_taken_back_and_told_again_is_there(lab: Lab) -> None:
    report = lab.load(person("A", key="1"), gone(person("A", key="1")), person("A", key="1"), in_order=True)
    assert report.tables["person"] == Changes(added=1, repeated=2)
    assert lab.one("SELECT count(*) FROM person") == 1


def test_two_sources_have_records_of_their_own_of_one_person(lab: Lab) -> None:
    lab.load(person(PATIENT), measurement(PATIENT, "1"), source="laboratory")
    lab.load(person(PATIENT), measurement(PATIENT, "1"), source="trust")
    assert lab.one("SELECT count(*) FROM person") == 1
    assert lab.one("SELECT count(DISTINCT measurement_id) FROM measurement") == 2
    lab.load(gone(measurement(PATIENT, "1")), source="trust")
    assert lab.one("SELECT count(*) FROM measurement") == 1


def test_what_a_source_does_not_know_of_a_person_another_says(lab: Lab) -> None:
    lab.load(person(PATIENT, date(1961, 5, 4), None), source="first")
    lab.load(person(PATIENT, None, MALE), source="second")
    [(year, sex)] = lab.rows("SELECT year_of_birth, gender_concept_id FROM person")
    assert year == (date(1961, 5, 4) + timedelta(days=lab.days(PATIENT))).year
    assert sex == MALE


def test_who_is_known_by_records_alone_is_a_person_all_the_same(lab: Lab) -> None:
    report = lab.load(condition(PATIENT))
    assert report.tables["person"].added == 1
    assert lab.rows("SELECT gender_concept_id, year_of_birth FROM person") == [(0, None)]
    assert lab.load(condition(PATIENT)).changes == Changes(unchanged=1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (person(PATIENT, date(1961, 5, 4), key="1"), person(PATIENT, date(1970, 5, 4), key="2")),
        (person(PATIENT, sex=FEMALE, key="1"), person(PATIENT, sex=MALE, key="2")),
        (person(PATIENT, date(1961, 5, 4)), person(PATIENT, date(1961, 5, 5))),
    ],
)
def test_two_persons_with_one_number_are_left_out_with_all_that_is_said_of_them(
    lab: Lab, first: Row, second: Row
) -> None:
    report = lab.load(condition(PATIENT, where="line 3"), first, second, person("other"), condition("other", "c2"))
    assert reasons(report) == {Reason.TWO_PERSONS: 3}
    assert "line 3" in report.rejected[Reason.TWO_PERSONS].places
    assert lab.rows("SELECT person_source_value FROM person") == [(lab.pseudonyms.patient("other"),)]
    assert lab.one("SELECT count(*) FROM condition_occurrence") == 1


def test_the_same_person_twice_is_no_contradiction(lab: Lab) -> None:
    report = lab.load(person(PATIENT, None, key="1"), person(PATIENT, sex=None, key="2"), person(PATIENT, key="3"))
    assert report.rejections == 0
    assert report.tables["person"] == Changes(added=1, repeated=2)


def test_another_source_that_contradicts_is_another_person(lab: Lab) -> None:
    lab.load(person(PATIENT), condition(PATIENT), source="first")
    before = lab.everything()
    report = lab.load(person(PATIENT, date(1999, 1, 1)), condition(PATIENT, "c2"), source="second")
    assert reasons(report) == {Reason.TWO_PERSONS: 2}
    assert lab.everything() == before


def test_a_source_may_correct_itself(lab: Lab) -> None:
    lab.load(person(PATIENT, date(1961, 5, 4)), source="first")
    report = lab.load(person(PATIENT, date(1999, 1, 1)), source="first")
    assert report.tables["person"] == Changes(changed=1)
    assert lab.one("SELECT year_of_birth FROM person") == (date(1999, 1, 1) + timedelta(days=lab.days(PATIENT))).year


def test_messages_correct_each_other_in_their_order_and_keep_what_they_do_not_repeat(lab: Lab) -> None:
    lab.load(person(PATIENT, date(1961, 5, 4), MALE), person(PATIENT, date(1962, 5, 4), None), in_order=True)
    report = lab.load(person(PATIENT, None, None), condition(PATIENT), in_order=True)
    assert report.rejections == 0
    [(year, sex)] = lab.rows("SELECT year_of_birth, gender_concept_id FROM person")
    assert year == (date(1962, 5, 4) + timedelta(days=lab.days(PATIENT))).year
    assert sex == MALE


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (condition(" \0 "), Reason.NO_PERSON),
        (condition(PATIENT, day=NOW.date() + timedelta(days=2)), Reason.FUTURE_DATE),
        (condition(PATIENT, day=date(1961, 5, 3)), Reason.BEFORE_BIRTH),
        (condition(PATIENT, day=date(1753, 1, 1)), Reason.BAD_DATE),
        (condition(PATIENT, day=None), Reason.NO_DATE),
        (condition(PATIENT, condition_end_date=date(2020, 2, 2)), Reason.ENDS_BEFORE_START),
        (condition(PATIENT, code=None), Reason.NO_CODE),
        (condition(PATIENT, code=0), Reason.NO_CODE),
        (condition(PATIENT, code=Code("ICD10CM", f"see {PATIENT}")), Reason.BAD_CODE),
        (measurement(PATIENT, value=float("nan")), Reason.BAD_VALUE),
        (event("death", PATIENT, "d", {"death_date": date(1950, 1, 1)}), Reason.BEFORE_BIRTH),
        (Rejected(Reason.MALFORMED, "line 9"), Reason.MALFORMED),
    ],
)
def test_what_is_wrong_is_rejected_with_its_reason_and_the_rest_is_taken(
    lab: Lab, row: Row | Rejected, reason: Reason
) -> None:
    report = lab.load(person(PATIENT), row, condition(PATIENT, "good"))
    assert reasons(report) == {reason: 1}
    assert report.rejected[reason].places == [row.where]
    assert lab.one("SELECT count(*) FROM condition_occurrence") == 1
    assert lab.one("SELECT count(*) FROM death") == 0


def test_a_birth_of_which_the_year_alone_is_known_rejects_nothing_that_may_be_right(lab: Lab) -> None:
    born = person(PATIENT, None, year_of_birth=1961)
    report = lab.load(born, condition(PATIENT, day=date(1961, 1, 2)), condition(PATIENT, "c2", date(1950, 1, 2)))
    assert reasons(report) == {Reason.BEFORE_BIRTH: 1}
    assert lab.one("SELECT month_of_birth FROM person") is None


def test_a_rejected_row_leaves_what_was_said_before(lab: Lab) -> None:
    lab.load(person(PATIENT), condition(PATIENT))
    lab.load(condition(PATIENT, day=date(2999, 1, 1)))
    assert lab.one("SELECT count(*) FROM condition_occurrence") == 1


def test_a_birth_that_is_loaded_later_rejects_by_what_is_known_then(lab: Lab) -> None:
    lab.load(condition(PATIENT, day=date(1950, 1, 1)))
    assert reasons(lab.load(person(PATIENT), condition(PATIENT, day=date(1950, 1, 1)))) == {Reason.BEFORE_BIRTH: 1}


def test_a_bounded_list_says_where_and_a_count_says_how_many(lab: Lab) -> None:
    rows = [condition(PATIENT, f"c{n}", date(2999, 1, 1), where=f"line {n}") for n in range(3 * PLACES)]
    told = lab.load(*rows).rejected[Reason.FUTURE_DATE]
    assert told.count == 3 * PLACES
    assert told.places == [f"line {n}" for n in range(PLACES)]


def test_a_reference_finds_its_record_in_whatever_order_they_come(lab: Lab) -> None:
    lab.load(condition(PATIENT, visit_occurrence_id="v1"))
    lab.load(visit(PATIENT, "v1"))
    assert (
        lab.one(
            "SELECT count(*) FROM condition_occurrence c JOIN visit_occurrence v "
            "ON v.visit_occurrence_id = c.visit_occurrence_id AND v.person_id = c.person_id"
        )
        == 1
    )


def test_a_person_is_observed_from_the_first_to_the_last_day_that_is_known(lab: Lab) -> None:
    lab.load(
        condition(PATIENT, day=date(2019, 1, 5)),
        visit(PATIENT, "v1", date(2020, 3, 1), date(2020, 3, 9)),
        measurement(PATIENT, day=date(2019, 6, 1)),
    )
    moved = timedelta(days=lab.days(PATIENT))
    period = "SELECT observation_period_start_date, observation_period_end_date FROM observation_period"
    assert lab.rows(period) == [(date(2019, 1, 5) + moved, date(2020, 3, 9) + moved)]
    start = {"observation_period_start_date": date(2000, 1, 1), "observation_period_end_date": date(2021, 1, 1)}
    lab.load(event("observation_period", PATIENT, "p", start))
    assert lab.rows(period) == [(date(2000, 1, 1) + moved, date(2021, 1, 1) + moved)]


def test_a_row_that_moves_to_another_person_leaves_the_first(lab: Lab) -> None:
    lab.load(condition("A"))
    lab.load(condition("B"))
    assert lab.rows("SELECT person_source_value FROM person") == [(lab.pseudonyms.patient("B"),)]


def test_a_newer_death_replaces_an_older_one_whoever_says_it(lab: Lab) -> None:
    lab.load(event("death", PATIENT, "d", {"death_date": date(2021, 1, 1)}), source="first")
    lab.load(event("death", PATIENT, "x", {"death_date": date(2021, 1, 2)}), source="second")
    assert lab.rows("SELECT death_date FROM death") == [(date(2021, 1, 2) + timedelta(days=lab.days(PATIENT)),)]
    lab.load(gone(event("death", PATIENT, "d", {})), source="first")
    assert lab.one("SELECT count(*) FROM death") == 1


def test_who_opted_out_is_left_out_and_counted_and_not_in_the_vault(lab: Lab) -> None:
    opt_out(lab, "nhs", "9434765919")
    nhs = (("943 476 5919", ""),)
    report = lab.load(condition(PATIENT, others=nhs), person("other"), condition("other", "c2"))
    assert reasons(report) == {Reason.OPTED_OUT: 1}
    assert lab.rows("SELECT person_source_value FROM person") == [(lab.pseudonyms.patient("other"),)]
    assert lab.pseudonyms.patient(PATIENT) not in lab.vault.pseudonyms()


def test_who_opted_out_by_one_number_is_left_out_where_another_alone_is_given(lab: Lab) -> None:
    """In the same load, before and after the row that has both, and in a later one."""
    opt_out(lab, "nhs", "9434765919")
    both = condition(PATIENT, "c2", others=(("9434765919", ""),))
    assert reasons(lab.load(condition(PATIENT), both, measurement(PATIENT))) == {Reason.OPTED_OUT: 3}
    assert reasons(lab.load(measurement(PATIENT, "m2"))) == {Reason.OPTED_OUT: 1}
    assert lab.one("SELECT count(*) FROM person") == 0


def test_an_opt_out_holds_against_the_very_next_load_of_the_same_program(lab: Lab) -> None:
    lab.load(condition(PATIENT))
    opt_out(lab, "local", PATIENT)
    assert reasons(lab.load(condition(PATIENT, "c2"))) == {Reason.OPTED_OUT: 1}


def test_the_hospitals_own_issuer_means_the_same_as_none(tmp_path: Path) -> None:
    lab = Lab(tmp_path, home_issuer="TRUST")
    rows = [
        Row("person", key, PersonIdentity("77", issuer), {}, "line 1")
        for key, issuer in (("1", "TRUST"), ("2", ""), ("3", " TRUST "), ("4", "OTHER"))
    ]
    lab.load(*rows)
    wanted = {lab.pseudonyms.patient("77"), lab.pseudonyms.patient("77", "OTHER")}
    assert {row[0] for row in lab.rows("SELECT person_source_value FROM person")} == wanted
    lab.close()


def test_each_load_names_who_did_it_in_its_own_transaction(lab: Lab) -> None:
    lab.load(person(PATIENT), condition(PATIENT, day=date(2999, 1, 1)), source="trust")
    with lab.records.writing() as connection:
        [past] = past_loads(connection, 5)
    assert (past.source, past.actor, past.at) == ("trust", "os:tests", NOW)
    assert past.report.tables["person"].added == 1
    assert reasons(past.report) == {Reason.FUTURE_DATE: 1}


def test_a_continuous_sources_loads_of_a_day_are_told_together(lab: Lab) -> None:
    for key in ("c1", "c2", "c3"):
        rows = records_lab.given([condition(PATIENT, key)])
        lab.loader.load(rows, lab.folder, source="mllp", actor="program", in_order=True, continuous=True)
    with lab.records.writing() as connection:
        [past] = past_loads(connection, 5)
    assert past.report.tables["condition_occurrence"].added == 3


def test_a_reader_that_fails_leaves_nothing(lab: Lab) -> None:
    def read(_path: Path) -> object:
        yield person(PATIENT)
        raise RecordsRefused("the file ends in the middle")

    before = lab.everything()
    with pytest.raises(RecordsRefused, match="ends in the middle"):
        lab.loader.load(read, lab.folder, source="trust", actor="os:tests")  # type: ignore[arg-type]
    assert lab.everything() == before
    assert [each.name for each in lab.records.staging.iterdir()] == ["lock"]


def test_a_load_that_cannot_write_says_so_and_leaves_nothing(lab: Lab) -> None:
    lab.load(person(PATIENT))
    other = Lab(lab.folder, lab.database_url)
    other.records = Records(lab.folder / "omop", other.records._settings, patience=0.1)
    other.loader._records = other.records
    with lab.records.writing(), pytest.raises(RecordsBusy, match="in use"):
        other.records.writing().__enter__()
    other.close()
    assert lab.one("SELECT count(*) FROM person") == 1


@pytest.mark.parametrize("name", ["", "Trust", "a b", "a" * 41, "../x"])
def test_a_sources_name_is_plain(lab: Lab, name: str) -> None:
    with pytest.raises(RecordsRefused, match="--source"):
        lab.load(person(PATIENT), source=name)


def test_a_mapping_can_fill_no_column_that_is_never_kept(lab: Lab) -> None:
    for column in ("note_text", "value_source_value", "person_id", "origin", "stop_reason"):
        with pytest.raises(RecordsRefused, match="mend the mapping"):
            lab.load(condition(PATIENT, **{column: "text"}))
    with pytest.raises(RecordsRefused, match="mend the mapping"):
        lab.load(Row("concept", "k", PersonIdentity(PATIENT), {}, "line 1"))
    assert lab.one("SELECT count(*) FROM condition_occurrence") == 0


def test_columns_that_could_hold_text_are_empty_or_codes(lab: Lab) -> None:
    lab.load(person(PATIENT), condition(PATIENT), measurement(PATIENT), visit(PATIENT, "v"))
    for table in TABLES.values():
        for column in table.columns:
            if column.type == "VARCHAR" and table.name != "person":
                for (value,) in lab.rows(f"SELECT DISTINCT {column.name} FROM {table.name}"):  # noqa: S608
                    assert value is None or re.fullmatch(r"[A-Z0-9]+:[!-~]+", value), (table.name, column.name)


def test_every_reason_has_words_that_end_in_a_mend_or_a_fact() -> None:
    assert WORDS.keys() == set(Reason)


def test_a_report_is_the_same_after_it_was_written() -> None:
    report = Report(3, 9, {"person": Changes(1, 2, 3, 4, 5)}, unmapped=2)
    report.reject(Reason.NO_DATE, "line 1")
    assert Report.from_json(report.to_json()) == report
    assert json.loads(report.to_json())["rejected"] == {"no-date": {"count": 1, "places": ["line 1"]}}


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from(["k1", "k2", "k3", "k4"]),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(loads=st.lists(ROWS, min_size=1, max_size=2))
def test_after_any_loads_the_records_hold_what_was_said_last_under_each_key(
    tmp_path_factory: pytest.TempPathFactory, loads: list[list[tuple[str, str, int, bool]]]
) -> None:
    lab = Lab(tmp_path_factory.mktemp("records"))
    last: dict[str, tuple[str, float]] = {}
    for rows in loads:
        made = []
        for patient, key, value, removed in rows:
            row = measurement(patient, key, float(value))
            made.append(gone(row) if removed else row)
            if removed:
                last.pop(key, None)
            else:
                last[key] = (lab.pseudonyms.patient(patient), float(value))
        report = lab.load(*made)
        total = report.changes
        in_table = report.table("measurement")
        assert in_table.added + in_table.changed + in_table.unchanged + in_table.removed + in_table.repeated == len(
            rows
        )
        assert total.added >= in_table.added
    found = lab.rows(
        "SELECT p.person_source_value, m.value_as_number FROM measurement m JOIN person p ON p.person_id = m.person_id"
    )
    assert sorted(found) == sorted(last.values())
    people = {pseudonym for pseudonym, _ in last.values()}
    assert {row[0] for row in lab.rows("SELECT person_source_value FROM person")} == people
    assert lab.one("SELECT count(*) FROM person_word") == len(people)
    assert lab.one("SELECT count(*) FROM observation_period") == len(people)
    lab.close()


def opt_out(lab: Lab, kind: str, value: str) -> None:
    add(lab.database, lab.register, lab.vault, [entry(kind, value)], actor="os:tests", at=NOW)
