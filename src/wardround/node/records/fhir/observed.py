"""Observations and diagnostic reports as measurements and observations.

Which table: a quantity is a measurement, and so is whatever the category calls laboratory, vital-signs, exam, imaging
or procedure; social history, survey, therapy and activity are observations, and so is a coded answer of no category.

Sources: FHIR R4, Observation, DiagnosticReport; OMOP CDM 5.4, `measurement` and `observation`.
"""

from __future__ import annotations

from collections.abc import Iterator

from wardround.node.records.fhir.clinical import status
from wardround.node.records.fhir.navigate import Json, child, children, number, says, text
from wardround.node.records.fhir.resource import Resource
from wardround.node.records.hl7.values import NotTaken
from wardround.node.records.hl7.vocabularies import COMPARATORS, FROM_LABORATORY, FROM_RECORD, NO, YES
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Rejected, Row, Value

MEASURED = frozenset({"laboratory", "vital-signs", "exam", "imaging", "procedure"})
OBSERVED = frozenset({"social-history", "survey", "therapy", "activity"})
FINAL = frozenset({"final", "amended", "corrected", "appended"})
REFUSED = {"cancelled": "cancelled"}
_OTHER = {"measurement": "observation", "observation": "measurement"}
_VALUES = ("valueQuantity", "valueCodeableConcept", "valueInteger", "valueBoolean", "valueString", "valueRange",
           "valueRatio", "valueSampledData", "valueTime", "valueDateTime", "valuePeriod")  # fmt: skip
_MOST_COMPONENTS = 256
MOST_CONCLUSIONS = 32


def observation(resource: Resource) -> Iterator[Row | Rejected]:
    """Rows of `measurement` or `observation`: one for the value, and one for each component.

    A value that is text, a range, a ratio or a time isn't kept: the row says that it was observed.
    """
    said = text(resource.json, "status")
    status(said, FINAL, REFUSED)
    resource.person()
    when = resource.moment("effectiveDateTime", "effectivePeriod", "effectiveInstant")
    if when is None:
        raise NotTaken(Reason.NO_DATE)
    components = _components(resource)
    if any(name in resource.json for name in _VALUES) or not components:
        yield from _part(resource, resource.json, resource.key, said)
    for component, key in zip(components, component_keys(resource), strict=True):
        try:
            yield from _part(resource, component, key, said)
        except NotTaken as refused:
            yield refused.at(resource.found.where)


def component_keys(resource: Resource) -> list[str]:
    """The keys of the rows of an observation's components, by their codes; of two of one code each has its own."""
    own, keys = resource.key, dict[str, None]()
    for component in _components(resource):
        codes = resource.codes(child(component, "code"))
        key = f"{own}#{codes[0] if codes else '?'}"
        while key in keys:
            key += "+"
        keys[key] = None
    return list(keys)


def _components(resource: Resource) -> list[Json]:
    return children(resource.json, "component")[:_MOST_COMPONENTS]


def _part(resource: Resource, part: Json, key: str, said: str) -> Iterator[Row]:
    if not any(name in part for name in _VALUES) and "dataAbsentReason" in part:
        raise NotTaken(Reason.UNSUPPORTED, "without a value")
    table = _table(resource, part)
    codes = resource.needed_codes(child(part, "code"))
    values: dict[str, Value] = {
        f"{table}_concept_id": codes,
        f"{table}_type_concept_id": FROM_LABORATORY if "laboratory" in _categories(resource) else FROM_RECORD,
        **resource.when(table, "effectiveDateTime", "effectivePeriod", "effectiveInstant"),
        **_value(resource, part, table),
    }
    if said != "final":
        # What was corrected may have been of the other table before.
        yield Row(_OTHER[table], key, resource.person(), {}, resource.found.where, removed=True)
    yield resource.row(table, values, key)


def _categories(resource: Resource) -> set[str]:
    return {says(one) for one in children(resource.json, "category")}


def _table(resource: Resource, part: Json) -> str:
    categories = _categories(resource)
    if categories & MEASURED:
        return "measurement"
    if categories & OBSERVED:
        return "observation"
    return "measurement" if "valueQuantity" in part or "valueInteger" in part else "observation"


def _value(resource: Resource, part: Json, table: str) -> dict[str, Value]:
    if "valueQuantity" in part:
        return _quantity(part, table)
    if "valueInteger" in part:
        found = number(part, "valueInteger")
        if found is None:
            raise NotTaken(Reason.BAD_VALUE)
        return {"value_as_number": found}
    if "valueCodeableConcept" in part:
        codes = resource.codes(child(part, "valueCodeableConcept"))
        return {"value_as_concept_id": codes} if codes else {}
    if "valueBoolean" in part:
        if not isinstance(part["valueBoolean"], bool):
            raise NotTaken(Reason.BAD_VALUE)
        return {"value_as_concept_id": YES if part["valueBoolean"] else NO}
    return {}


def _quantity(part: Json, table: str) -> dict[str, Value]:
    quantity = child(part, "valueQuantity")
    found = number(quantity, "value")
    if found is None:
        raise NotTaken(Reason.BAD_VALUE)
    values: dict[str, Value] = {"value_as_number": found}
    unit = _unit(quantity)
    if unit is not None:
        values["unit_concept_id"] = unit
    comparator = text(quantity, "comparator")
    if comparator:
        # An observation has no column for it: a bound would pass for the value itself.
        if comparator not in COMPARATORS or table == "observation":
            raise NotTaken(Reason.BAD_VALUE)
        values["operator_concept_id"] = COMPARATORS[comparator]
    return values | (_range(part, quantity) if table == "measurement" else {})


def _unit(quantity: Json) -> Code | None:
    code, system = text(quantity, "code"), text(quantity, "system")
    if not code and not text(quantity, "unit"):
        return None
    # The unit that people read is no unit that can be reckoned with.
    if not code or system != "http://unitsofmeasure.org" or not code.isprintable() or " " in code or len(code) > 50:
        raise NotTaken(Reason.UNIT_UNKNOWN)
    return Code("UCUM", code)


def _range(part: Json, quantity: Json) -> dict[str, Value]:
    """The reference range, where there is just one, in the value's own unit."""
    ranges = children(part, "referenceRange")
    if len(ranges) != 1:
        return {}
    values: dict[str, Value] = {}
    for name in ("low", "high"):
        bound = child(ranges[0], name)
        found = number(bound, "value")
        if found is not None and text(bound, "code") in ("", text(quantity, "code")):
            values[f"range_{name}"] = found
    return values


def diagnostic_report(resource: Resource) -> Iterator[Row]:
    """Rows of `observation`: one for each coded conclusion, or one that says that the report was made. Its text isn't
    read."""
    status(text(resource.json, "status"), FINAL, REFUSED)
    values: dict[str, Value] = {
        "observation_concept_id": resource.needed_codes(child(resource.json, "code")),
        "observation_type_concept_id": FROM_RECORD,
        **resource.when("observation", "effectiveDateTime", "effectivePeriod", "issued"),
    }
    conclusions = [codes for one in children(resource.json, "conclusionCode") if (codes := resource.codes(one))]
    kept: list[dict[str, Value]] = [{"value_as_concept_id": codes} for codes in conclusions[:MOST_CONCLUSIONS]] or [{}]
    keys = conclusion_keys(resource)
    if text(resource.json, "status") != "final":
        # There may have been more conclusions before.
        for key in keys[len(kept) :]:
            yield Row("observation", key, resource.person(), {}, resource.found.where, removed=True)
    for key, conclusion in zip(keys, kept, strict=False):
        yield resource.row("observation", values | conclusion, key)


def conclusion_keys(resource: Resource) -> list[str]:
    """The keys of a report's rows, of as many as there may be."""
    return [resource.key, *(f"{resource.key}#{index}" for index in range(1, MOST_CONCLUSIONS))]
