"""The table of persons, made of what each source says of them; in the caller's transaction.

A person is there while a source says something of them, or has a record of theirs, or the enclave has an image.
"""

from __future__ import annotations

from collections.abc import Sequence

from wardround.node.records.schema import EVENT_DATE, TABLES
from wardround.node.records.store import Connection

DERIVED = 0
"""The `origin` of what is worked out here and comes by no source: the persons of images, and observation periods."""
STANDARD_ALGORITHM = 32880
"""OMOP's `period_type_concept_id` of a period that was worked out (Type Concept vocabulary)."""
GROUPS: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("birth", "year_of_birth IS NOT NULL", ("year_of_birth", "month_of_birth", "day_of_birth", "birth_datetime")),
    *(
        (
            stem,
            f"({stem}_concept_id <> 0 OR {stem}_source_value IS NOT NULL)",
            (f"{stem}_concept_id", f"{stem}_source_value", f"{stem}_source_concept_id"),
        )
        for stem in ("gender", "race", "ethnicity")
    ),
)
"""What is said of a person together: its name, when it is said, and its columns."""
EVENTS = tuple(EVENT_DATE)
PERSON_COLUMNS = tuple(column for column in TABLES["person"].names)


def merged(source: str, order: str) -> str:
    """A query that gives one row a person of the rows of `source`: of each group, what the row of the highest `order`
    says that says it; a birth with its day before one without. `order` is unique for each person."""
    newest = ", ".join(f"{_newest(name, said, order)} AS {name}" for name, said, _ in GROUPS)
    joins = " ".join(
        f"LEFT JOIN {source} AS of_{name} ON of_{name}.person_id = n.person_id AND of_{name}.{order} = n.{name}"
        for name, _, _ in GROUPS
    )
    taken = {column: f"of_{name}.{column}" for name, _, columns in GROUPS for column in columns}
    taken |= {column: f"coalesce({taken[column]}, 0)" for column in taken if TABLES["person"].column(column).required}
    taken |= {"person_id": "n.person_id", "person_source_value": "n.pseudonym"}
    for column in TABLES["person"].columns:
        taken.setdefault(column.name, f"CAST(NULL AS {column.type.value})")
    columns = ", ".join(f"{taken[column]} AS {column}" for column in PERSON_COLUMNS)
    return (
        f"SELECT {columns} FROM (SELECT person_id, max(person_source_value) AS pseudonym, {newest} "  # noqa: S608 - our names
        f"FROM {source} GROUP BY person_id) AS n {joins}"
    )


def _newest(name: str, said: str, order: str) -> str:
    last = f"max({order}) FILTER (WHERE {said})"
    # A birth with its day goes before one without, such as what an age tells of it.
    return f"coalesce(max({order}) FILTER (WHERE day_of_birth IS NOT NULL), {last})" if name == "birth" else last


def rebuild(connection: Connection, affected: str) -> None:
    """Make the rows of `person` anew for the persons in the table `affected` (`person_id`), and take out those who
    have nothing left: whom a source never stated stays while it has a record of theirs."""
    of_theirs = f"person_id IN (SELECT person_id FROM {affected})"  # noqa: S608 - our names
    events = " UNION ALL ".join(_their("person_id, origin", name, of_theirs) for name in _SOURCED)
    connection.run(
        f"DELETE FROM person_statement WHERE {of_theirs} AND origin <> {DERIVED} AND NOT stated AND NOT EXISTS "  # noqa: S608
        f"(SELECT 1 FROM ({events}) AS e WHERE e.person_id = person_statement.person_id "
        "AND e.origin = person_statement.origin)"
    )
    connection.delete("person", of_theirs)
    connection.run(f"CREATE TEMPORARY TABLE said AS SELECT * FROM person_statement WHERE {of_theirs}")  # noqa: S608
    columns = ", ".join(PERSON_COLUMNS)
    connection.run(f"INSERT INTO person ({columns}) {merged('said', 'load_id')}")
    connection.run("DROP TABLE said")
    left = "NOT EXISTS (SELECT 1 FROM person WHERE person.person_id = person_word.person_id)"
    connection.delete("person_word", f"{of_theirs} AND {left}")
    _observe(connection, of_theirs)


def _observe(connection: Connection, of_theirs: str) -> None:
    """From the first to the last day on which something is known of a person, for whom no source says a period."""
    connection.delete("observation_period", f"origin = {DERIVED} AND {of_theirs}")
    days = [
        _their(f"person_id, {EVENT_DATE[name]} AS day", name, f"{of_theirs} AND {EVENT_DATE[name]} IS NOT NULL")
        for name in EVENTS
        if name not in ("observation_period", "death")
    ]
    ended = f"{of_theirs} AND visit_end_date IS NOT NULL"
    days.append(_their("person_id, visit_end_date", "visit_occurrence", ended))
    connection.run(
        "INSERT INTO observation_period (observation_period_id, person_id, observation_period_start_date, "  # noqa: S608
        "observation_period_end_date, period_type_concept_id, origin) "
        f"SELECT person_id, person_id, min(day), max(day), {STANDARD_ALGORITHM}, {DERIVED} "
        f"FROM ({' UNION ALL '.join(days)}) AS known "
        "WHERE NOT EXISTS (SELECT 1 FROM observation_period AS said WHERE said.person_id = known.person_id) "
        "GROUP BY person_id"
    )


_SOURCED = tuple(name for name in EVENTS if "origin" in TABLES[name].names and name != "observation_period")


def _their(columns: str, table: str, condition: str) -> str:
    return f"SELECT {columns} FROM {table} WHERE {condition}"  # noqa: S608 - our names
