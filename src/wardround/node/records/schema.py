"""The tables of the records store, as data: OMOP CDM 5.4, its imaging extension, and ours.

Sources: OHDSI, Common Data Model 5.4 (https://ohdsi.github.io/CommonDataModel/cdm54.html); Park et al., Development of
Medical Imaging Data Standardization for Imaging-Based Observational Research, J Imaging Inform Med 2024
(`image_occurrence`).

Columns that may hold who somebody is, or free text, are in the tables so that OMOP tools find them, and are never
filled (`Column.kept` is false). Every date is shifted as the person's images are; `person_source_value` is the
pseudonym.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

FEMALE, MALE, OTHER_SEX = 8532, 8507, 8521
"""OMOP's standard concepts of `person.gender_concept_id`; 0 where it isn't known."""
NO_CONCEPT = 0
"""What a concept column holds where no standard concept is known; the code is in the `*_source_value` beside it."""


class Type(StrEnum):
    """The types of columns; their values are the SQL names, the same in DuckDB and PostgreSQL."""

    INTEGER = "INTEGER"
    BIGINT = "BIGINT"
    FLOAT = "DOUBLE PRECISION"
    TEXT = "VARCHAR"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    BOOLEAN = "BOOLEAN"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. kept: false for one that this store never fills."""

    name: str
    type: Type
    required: bool = False
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `key` is its primary key, one or more of its columns."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def column(self, name: str) -> Column:
        """The column called `name`; raises KeyError for another."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def date(self) -> str | None:
        """The column of an event's (first) day, or None for what is no event."""
        return EVENT_DATE.get(self.name)


_TYPES = {"i": Type.INTEGER, "b": Type.BIGINT, "f": Type.FLOAT, "t": Type.TEXT, "d": Type.DATE, "s": Type.TIMESTAMP,
          "?": Type.BOOLEAN}  # fmt: skip


def _table(name: str, spec: str, *key: str) -> Table:
    """A table of words `column:type`; `!` after the type for a required one, `-` for one that is never filled."""
    columns = []
    for word in spec.split():
        column, _, kind = word.partition(":")
        columns.append(Column(column, _TYPES[kind[0]], required="!" in kind, kept="-" not in kind))
    return Table(name, tuple(columns), key or (f"{name}_id",))


_ALL = (
    _table(
        "person",
        "person_id:b! gender_concept_id:i! year_of_birth:i month_of_birth:i day_of_birth:i birth_datetime:s "
        "race_concept_id:i! ethnicity_concept_id:i! location_id:b- provider_id:b- care_site_id:b- "
        "person_source_value:t! gender_source_value:t gender_source_concept_id:i race_source_value:t "
        "race_source_concept_id:i ethnicity_source_value:t ethnicity_source_concept_id:i",
    ),
    _table(
        "observation_period",
        "observation_period_id:b! person_id:b! observation_period_start_date:d! observation_period_end_date:d! "
        "period_type_concept_id:i! origin:i!",
    ),
    _table(
        "visit_occurrence",
        "visit_occurrence_id:b! person_id:b! visit_concept_id:i! visit_start_date:d! visit_start_datetime:s "
        "visit_end_date:d visit_end_datetime:s visit_type_concept_id:i! provider_id:b- care_site_id:b- "
        "visit_source_value:t visit_source_concept_id:i admitted_from_concept_id:i admitted_from_source_value:t "
        "discharged_to_concept_id:i discharged_to_source_value:t preceding_visit_occurrence_id:b origin:i!",
    ),
    _table(
        "condition_occurrence",
        "condition_occurrence_id:b! person_id:b! condition_concept_id:i! condition_start_date:d! "
        "condition_start_datetime:s condition_end_date:d condition_end_datetime:s condition_type_concept_id:i! "
        "condition_status_concept_id:i stop_reason:t- provider_id:b- visit_occurrence_id:b visit_detail_id:b- "
        "condition_source_value:t condition_source_concept_id:i condition_status_source_value:t origin:i!",
    ),
    _table(
        "procedure_occurrence",
        "procedure_occurrence_id:b! person_id:b! procedure_concept_id:i! procedure_date:d! procedure_datetime:s "
        "procedure_end_date:d procedure_end_datetime:s procedure_type_concept_id:i! modifier_concept_id:i quantity:i "
        "provider_id:b- visit_occurrence_id:b visit_detail_id:b- procedure_source_value:t "
        "procedure_source_concept_id:i modifier_source_value:t origin:i!",
    ),
    _table(
        "drug_exposure",
        "drug_exposure_id:b! person_id:b! drug_concept_id:i! drug_exposure_start_date:d! "
        "drug_exposure_start_datetime:s drug_exposure_end_date:d drug_exposure_end_datetime:s verbatim_end_date:d "
        "drug_type_concept_id:i! stop_reason:t- refills:i quantity:f days_supply:i sig:t- route_concept_id:i "
        "lot_number:t- provider_id:b- visit_occurrence_id:b visit_detail_id:b- drug_source_value:t "
        "drug_source_concept_id:i route_source_value:t dose_unit_source_value:t origin:i!",
    ),
    _table(
        "measurement",
        "measurement_id:b! person_id:b! measurement_concept_id:i! measurement_date:d! measurement_datetime:s "
        "measurement_time:t- measurement_type_concept_id:i! operator_concept_id:i value_as_number:f "
        "value_as_concept_id:i unit_concept_id:i range_low:f range_high:f provider_id:b- visit_occurrence_id:b "
        "visit_detail_id:b- measurement_source_value:t measurement_source_concept_id:i unit_source_value:t "
        "unit_source_concept_id:i value_source_value:t measurement_event_id:b- "
        "meas_event_field_concept_id:i- origin:i!",
    ),
    _table(
        "observation",
        "observation_id:b! person_id:b! observation_concept_id:i! observation_date:d! observation_datetime:s "
        "observation_type_concept_id:i! value_as_number:f value_as_string:t- value_as_concept_id:i "
        "qualifier_concept_id:i unit_concept_id:i provider_id:b- visit_occurrence_id:b visit_detail_id:b- "
        "observation_source_value:t observation_source_concept_id:i unit_source_value:t qualifier_source_value:t "
        "value_source_value:t observation_event_id:b- obs_event_field_concept_id:i- origin:i!",
    ),
    _table(
        "death",
        "person_id:b! death_date:d! death_datetime:s death_type_concept_id:i cause_concept_id:i cause_source_value:t "
        "cause_source_concept_id:i origin:i!",
        "person_id",
    ),
    _table(
        "image_occurrence",
        "image_occurrence_id:b! person_id:b! procedure_occurrence_id:b visit_occurrence_id:b "
        "anatomic_site_concept_id:i wadors_uri:t local_path:t- image_occurrence_date:d image_study_uid:t! "
        "image_series_uid:t! modality_concept_id:i! modality:t body_part:t description:t manufacturer:t "
        "slice_thickness_mm:f has_label:? age_years:i",
    ),
    _table(
        "concept",
        "concept_id:i! concept_name:t! domain_id:t! vocabulary_id:t! concept_class_id:t! standard_concept:t "
        "concept_code:t! valid_start_date:d valid_end_date:d invalid_reason:t",
    ),
    _table(
        "concept_ancestor",
        "ancestor_concept_id:i! descendant_concept_id:i! min_levels_of_separation:i! max_levels_of_separation:i!",
        "ancestor_concept_id",
        "descendant_concept_id",
    ),
    _table(
        "concept_relationship",
        "concept_id_1:i! concept_id_2:i! relationship_id:t! valid_start_date:d valid_end_date:d invalid_reason:t",
        "concept_id_1",
        "concept_id_2",
        "relationship_id",
    ),
    _table("person_word", "person_id:b! word:b!", "person_id"),
)

TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in _ALL})
"""Every table that a question may name. `origin` (a number of `record_source`) says which load a record came by;
`person_word` gives each person one secret, pseudo-random number of 63 bits."""

PERSON = "person"
VOCABULARY = ("concept", "concept_ancestor", "concept_relationship")
EVENT_DATE: Mapping[str, str] = MappingProxyType(
    {
        "observation_period": "observation_period_start_date",
        "visit_occurrence": "visit_start_date",
        "condition_occurrence": "condition_start_date",
        "procedure_occurrence": "procedure_date",
        "drug_exposure": "drug_exposure_start_date",
        "measurement": "measurement_date",
        "observation": "observation_date",
        "death": "death_date",
        "image_occurrence": "image_occurrence_date",
    }
)
MAIN: Mapping[str, str] = MappingProxyType(
    {
        "condition_occurrence": "condition_concept_id",
        "procedure_occurrence": "procedure_concept_id",
        "drug_exposure": "drug_concept_id",
        "measurement": "measurement_concept_id",
        "observation": "observation_concept_id",
    }
)
"""The concept that says what an event is: one that is unknown to a loaded vocabulary isn't taken."""
RECORDS = ("person", *(name for name in EVENT_DATE if name != "image_occurrence"))
"""The tables that a source of records may fill."""
REFERENCES: Mapping[str, str] = MappingProxyType(
    {
        "visit_occurrence_id": "visit_occurrence",
        "preceding_visit_occurrence_id": "visit_occurrence",
        "procedure_occurrence_id": "procedure_occurrence",
    }
)
"""Columns that name another record: in a `Row` they hold that record's `key`."""


def clustered(table: Table) -> str:
    """` ORDER BY …` for rows that go into a table, so that those of one concept lie together: a question reads the
    blocks of the concepts that it names alone; images of one modality and body part do. Empty for a table of which this
    is no use."""
    if table.name == "image_occurrence":
        return " ORDER BY modality, body_part, person_id"
    concept = next((name for name in table.names if name.endswith("_concept_id") and "type" not in name), "")
    said, _ = source_columns(table, concept)
    return "" if table.date is None or said is None else f" ORDER BY {concept}, {said}, person_id"


def source_columns(table: Table, concept: str) -> tuple[str | None, str | None]:
    """The columns for the code, and for its own concept, behind the concept column `concept`; None where OMOP has none.

    `condition_concept_id` has (`condition_source_value`, `condition_source_concept_id`), `value_as_concept_id` has
    (`value_source_value`, None).
    """
    stem = concept.removesuffix("_concept_id").removesuffix("_as")
    value, own = f"{stem}_source_value", f"{stem}_source_concept_id"
    return (value if value in table.names else None), (own if own in table.names else None)
