"""What is asked of one row of a table, as Ibis's conditions; a condition is null or false where it isn't met."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import ibis
from ibis.expr.types import BooleanValue, Table

from wardround.contracts.cohort_tree import CodeSet, Imaging, Measurement
from wardround.node.cohort.meaning import ABOVE, BELOW, BIRTH_WITHOUT_DAY, BIRTH_WITHOUT_MONTH, bounds
from wardround.node.cohort.vocabulary import Named

_SMALL, _CAPITAL = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
YEAR = 10_000
"""What `digits` of a day and of the same day a year later differ by."""


def digits(day: Any) -> Any:
    """A day as the number YYYYMMDD."""
    return day.year().cast("int64") * YEAR + day.month().cast("int64") * 100 + day.day().cast("int64")


def birth(rows: Table) -> Any:
    """The day of a person's birth in `digits`; see `evaluation` for what isn't known of it."""
    month, day = BIRTH_WITHOUT_MONTH
    known = rows.month_of_birth.notnull()
    months = ibis.ifelse(known, rows.month_of_birth, month).cast("int64")
    days = ibis.ifelse(known, rows.day_of_birth.fill_null(BIRTH_WITHOUT_DAY), day).cast("int64")
    return rows.year_of_birth.cast("int64") * YEAR + months * 100 + days


def either(tests: Sequence[Any]) -> Any:
    """Whether one of these conditions is met at least."""
    return reduce(lambda left, right: left | right, tests)


def coded(rows: Table, concept: str, named: Named, codes: CodeSet) -> list[Any]:
    """The ways in which rows can be of a code set, the likeliest first; each perhaps null where they aren't."""
    stem = concept.removesuffix("_concept_id")
    tests: list[Any] = []
    if named.below is not None:
        tests.append(rows[concept].isin(named.below))
    if named.concepts and named.below is None:
        tests.append(rows[concept].isin(named.concepts))
    if named.concepts:
        tests.append(rows[f"{stem}_source_concept_id"].isin(named.sources))
    if codes.codes:
        texts = [f"{one.vocabulary}:{one.code}" for one in codes.codes]
        tests.append(rows[f"{stem}_source_value"].isin(texts))
    return tests


def measures(event: Measurement, rows: Table) -> BooleanValue:
    """Whether the number of a measurement lies where `event` asks, in whichever unit it was recorded."""
    tests: list[Any] = []
    exact_or = rows.operator_concept_id.fill_null(0)
    for bound in bounds(event):
        unit = rows.unit_source_value.isin(list(bound.texts)).fill_null(False)
        if bound.concept is not None:
            unit = unit | (rows.unit_concept_id == bound.concept).fill_null(False)
        fits = rows.value_as_number.notnull()
        if bound.low is not None:
            fits = fits & (rows.value_as_number >= bound.low) & exact_or.notin(BELOW)
        if bound.high is not None:
            fits = fits & (rows.value_as_number <= bound.high) & exact_or.notin(ABOVE)
        tests.append(unit & fits)
    met: BooleanValue = either(tests)
    return met


def shows(event: Imaging, rows: Table) -> Sequence[BooleanValue]:
    """What a series has to be to be one of `event`."""
    tests: list[Any] = []
    if event.modality is not None:
        tests.append(rows.modality == event.modality)
    if event.body_part is not None:
        tests.append(rows.body_part == event.body_part)
    for column, words in ((rows.description, event.description), (rows.manufacturer, event.manufacturer)):
        if words is not None:
            folded = column.translate(_CAPITAL, _SMALL)
            tests += [folded.find(word) >= 0 for word in words.split()]
    if event.min_thickness is not None:
        tests.append(rows.slice_thickness_mm >= event.min_thickness)
    if event.max_thickness is not None:
        tests.append(rows.slice_thickness_mm <= event.max_thickness)
    if event.has_label is not None:
        tests.append(rows.has_label == event.has_label)
    return tests or [ibis.literal(True)]
