"""Patient as a person and, where it says so, a death.

Sources: FHIR R4, Patient; US Core and UK Core for race, ethnicity and ethnic category.
"""

from __future__ import annotations

from collections.abc import Iterator

from wardround.node.records.fhir.navigate import Json, child, children, text
from wardround.node.records.fhir.resource import NotTaken, Resource
from wardround.node.records.hl7.moments import Moment, fhir_moment
from wardround.node.records.hl7.vocabularies import FROM_RECORD, OMOP_ETHNICITY, OMOP_RACE
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, PersonIdentity, Row, Value
from wardround.node.records.schema import FEMALE, MALE, NO_CONCEPT, OTHER_SEX

_SEX = {"male": MALE, "female": FEMALE, "other": OTHER_SEX}
_US = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_UK = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory"


def patient(resource: Resource) -> Iterator[Row]:
    """Rows of `person` and `death`."""
    if any(text(link, "type") == "replaced-by" for link in children(resource.json, "link")):
        raise NotTaken(Reason.UNSUPPORTED, "replaced by another; what refers to it goes there")
    person = resource.people.identity(resource.json)
    if person is None:
        raise NotTaken(Reason.NO_PERSON)
    where = resource.found.where
    values: dict[str, Value] = {"gender_concept_id": _SEX.get(text(resource.json, "gender"), NO_CONCEPT)}
    born = text(resource.json, "birthDate")
    if born:
        values |= birth(fhir_moment(born))
    for extension in children(resource.json, "extension"):
        values |= _origin(resource, extension)
    yield Row("person", resource.key, person, values, where)
    yield from _death(resource, person)


def birth(moment: Moment | None) -> dict[str, Value]:
    """The columns of a birth, of a date in part those that are known; raises NotTaken for what is no date."""
    if moment is None:
        raise NotTaken(Reason.BAD_DATE)
    if moment.whole is not None:
        return {"birth_datetime": moment.whole}
    values: dict[str, Value] = {"year_of_birth": moment.year}
    return values if moment.month is None else values | {"month_of_birth": moment.month}


def race(code: Code) -> tuple[Code, ...]:
    """A code of race and, of CDC's, the one that OMOP has for it."""
    omop = OMOP_RACE.get(code.code) if code.vocabulary == "CDCREC" else None
    return (code,) if omop is None else (code, Code("Race", omop))


def ethnicity(code: Code) -> tuple[Code, ...]:
    """A code of ethnicity and, of CDC's, the one that OMOP has for it."""
    omop = OMOP_ETHNICITY.get(code.code) if code.vocabulary == "CDCREC" else None
    return (code,) if omop is None else (code, Code("Ethnicity", omop))


def _origin(resource: Resource, extension: Json) -> dict[str, Value]:
    url = text(extension, "url")
    if url == _UK:
        codes = resource.codes(child(extension, "valueCodeableConcept"))
        return {"ethnicity_concept_id": codes} if codes else {}
    if url not in (f"{_US}race", f"{_US}ethnicity"):
        return {}
    for part in children(extension, "extension"):
        if text(part, "url") == "ombCategory":
            coding = child(part, "valueCoding")
            code = resource.conventions.code(text(coding, "system"), text(coding, "code"))
            if code is not None and url.endswith("race"):
                return {"race_concept_id": race(code)}
            if code is not None:
                return {"ethnicity_concept_id": ethnicity(code)}
    return {}


def _death(resource: Resource, person: PersonIdentity) -> Iterator[Row]:
    said, where = text(resource.json, "deceasedDateTime"), resource.found.where
    if said:
        moment = fhir_moment(said)
        if moment is None:
            raise NotTaken(Reason.BAD_DATE, "of the death")
        values: dict[str, Value] = {"death_date": moment.latest, "death_type_concept_id": FROM_RECORD}
        if moment.at is not None:
            values["death_datetime"] = moment.at
        yield Row("death", resource.key, person, values, where)
    elif resource.json.get("deceasedBoolean") is True:
        raise NotTaken(Reason.NO_DATE, "of the death")
    elif resource.json.get("deceasedBoolean") is False:
        yield Row("death", resource.key, person, {}, where, removed=True)
