"""A cohort question as the fields of a form: the tree that they stand for, and the fields that a tree can be told in.

What no field can say (an index event, an order in time, one thing or another) is JSON, in a field of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from wardround.contracts.cohort_builder import codes, concepts, imaging, measurement, patients
from wardround.contracts.cohort_query import CohortQuestion, QuestionRefused, read_question, told
from wardround.contracts.cohort_tree import AgeAt, All, CodeSet, Criterion, Imaging, Measurement, Not, Recorded, SexIs
from wardround.foundation.errors import NotAllowed
from wardround.ui.forms import whole
from wardround.ui.page import Visit

ROWS = (1, 2, 3, 4)
"""The rows of the form for what is in the health record."""
KINDS = ("condition", "procedure", "drug", "observation", "measurement")
SEXES = {"F": "female", "M": "male", "O": "other"}
_OF_A_ROW = ("has", "kind", "vocabulary", "codes", "low", "high", "unit")
_IMAGES = {
    "modality": "modality",
    "body_part": "body_part",
    "description": "description",
    "manufacturer": "manufacturer",
    "thinnest": "min_thickness",
    "thickest": "max_thickness",
}
WHOLE = "question"
"""The field for a whole question as JSON."""
NAMES = (
    *(f"{name}-{row}" for row in ROWS for name in _OF_A_ROW),
    *_IMAGES,
    "images",
    "label",
    "youngest",
    "oldest",
    *(f"sex-{sex}" for sex in SEXES),
    WHOLE,
)

Fields = Mapping[str, str]
"""What the fields of the form hold, by name; one that is empty asks nothing."""


def typed(visit: Visit) -> dict[str, str]:
    """What somebody typed into the form."""
    return {name: visit.field(name) for name in NAMES}


def question_of(fields: Fields) -> CohortQuestion:
    """The tree that the fields stand for.

    Raises:
        NotAllowed: what was typed is no question; the text says where and the mend.
    """
    # A row's kind is always chosen, and says nothing without a code.
    said = [name for name, value in fields.items() if value and name != WHOLE and name[:4] not in ("kind", "has-")]
    try:
        if not fields.get(WHOLE):
            return _asked(fields)
        if said:
            raise NotAllowed(f"cohort: asked in fields ({', '.join(said)}) and as JSON; empty one of the two")
        return read_question(fields[WHOLE])
    except QuestionRefused as refused:
        raise NotAllowed(f"cohort: {refused}") from None
    except ValidationError as error:
        raise NotAllowed(f"cohort: {told(error)}") from None


def fields_of(question: CohortQuestion) -> dict[str, str]:
    """The fields that stand for this very question; where none can, its JSON."""
    try:
        found = dict(_fields(question))
        if question_of(found) == question:
            return dict.fromkeys(NAMES, "") | found
    except (_Unsaid, NotAllowed):
        pass
    return dict.fromkeys(NAMES, "") | {WHOLE: json.dumps(question.model_dump(mode="json", exclude_none=True), indent=1)}


class _Unsaid(Exception):
    """No field can say it."""


def _asked(fields: Fields) -> CohortQuestion:
    asked = patients
    for row in ROWS:
        kind, vocabulary, listed, low, high, unit = (fields.get(f"{name}-{row}", "") for name in _OF_A_ROW[1:])
        values = [value.strip() for value in listed.split(",") if value.strip()]
        if not values:
            if vocabulary or low or high or unit:
                raise NotAllowed(f"cohort: row {row} names no code; give one, or empty the row")
            continue
        named = codes(vocabulary, *values) if vocabulary else concepts(*(_whole(value, row) for value in values))
        event: Recorded | Measurement
        if kind == "measurement":
            bounds = (_number(low, f"row {row}, from"), _number(high, f"row {row}, to"))
            event = measurement(named, low=bounds[0], high=bounds[1], unit=unit or None)
        elif low or high or unit:
            raise NotAllowed(f"cohort: row {row} has a bound, and only a measurement has a number; empty it")
        else:
            event = Recorded.model_validate({"kind": kind, "codes": named})
        asked = asked.without(event) if fields.get(f"has-{row}") == "no" else asked.with_(event)
    limits: dict[str, Any] = {own: fields[name] for name, own in _IMAGES.items() if fields.get(name)}
    for name in ("min_thickness", "max_thickness"):
        if name in limits:
            limits[name] = _number(limits[name], name.replace("_", " "))
    if fields.get("label"):
        limits["has_label"] = fields["label"] == "yes"
    if limits or fields.get("images"):
        asked = asked.with_(imaging(**limits))
    if fields.get("youngest") or fields.get("oldest"):
        asked = asked.aged(*(_age(fields.get(name, ""), name) for name in ("youngest", "oldest")))
    if chosen := [sex for sex in SEXES if fields.get(f"sex-{sex}")]:
        asked = asked.with_(SexIs.model_validate({"kind": "sex", "any_of": chosen}))
    return asked.question()


def _fields(question: CohortQuestion) -> Iterator[tuple[str, str]]:
    if question.index is not None:
        raise _Unsaid
    where = question.where
    parts: tuple[Criterion, ...] = where.of if isinstance(where, All) else () if where is None else (where,)
    row = 0
    for part in parts:
        match part:
            case Recorded() | Measurement() | Not(of=Recorded() | Measurement()):
                row += 1
                yield from ((f"{name}-{row}", value) for name, value in _row(part))
            case Imaging():
                yield "images", "yes"
                for name, own in _IMAGES.items():
                    if (value := getattr(part, own)) is not None:
                        yield name, f"{value:g}" if isinstance(value, float) else value
                if part.has_label is not None:
                    yield "label", "yes" if part.has_label else "no"
            case AgeAt():
                yield "youngest", "" if part.min is None else str(part.min)
                yield "oldest", "" if part.max is None else str(part.max)
            case SexIs():
                yield from ((f"sex-{sex}", "yes") for sex in part.any_of)
            case _:
                raise _Unsaid
    if row > len(ROWS):
        raise _Unsaid


def _row(part: Recorded | Measurement | Not) -> Iterator[tuple[str, str]]:
    event = part.of if isinstance(part, Not) else part
    if not isinstance(event, Recorded | Measurement):
        raise _Unsaid
    yield "has", "no" if isinstance(part, Not) else "yes"
    yield "kind", event.kind
    named: CodeSet = event.codes
    vocabularies = {one.vocabulary for one in named.codes}
    if (len(vocabularies) + bool(named.concepts)) > 1:
        raise _Unsaid
    yield "vocabulary", next(iter(vocabularies), "")
    yield "codes", ", ".join([*map(str, named.concepts), *(one.code for one in named.codes)])
    if isinstance(event, Measurement):
        yield "low", "" if event.min is None else f"{event.min:g}"
        yield "high", "" if event.max is None else f"{event.max:g}"
        yield "unit", event.unit or ""


def _number(text: str, called: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise NotAllowed(f"cohort: {called}: {text!r} is no number") from None


def _age(text: str, called: str) -> int | None:
    if text and whole(text, 3) is None:
        raise NotAllowed(f"cohort: {called}: {text!r} is no age in whole years")
    return whole(text, 3)


def _whole(text: str, row: int) -> int:
    if (number := whole(text, 10)) is None:
        raise NotAllowed(
            f"cohort: row {row}: {text!r} is no number of an OMOP concept; name the vocabulary that the code is of"
        )
    return number
