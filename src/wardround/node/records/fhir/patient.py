"""Patient as a person and, where it says so, a death.

Sources: FHIR R4, Patient; US Core and UK Core for race, ethnicity and ethnic category.
"""

from __future__ import annotations

from collections.abc import Iterator

from wardround.node.records.fhir.navigate import Json, child, children, text
from wardround.node.records.fhir.resource import Resource
from wardround.node.records.hl7.moments import fhir_moment
from wardround.node.records.hl7.values import NotTaken, birth, death, ethnicity, race
from wardround.node.records.hl7.vocabularies import FROM_RECORD
from wardround.node.records.reasons import Reason
from wardround.node.records.row import PersonIdentity, Row, Value
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
        values = death(fhir_moment(said), FROM_RECORD)
        yield Row("death", resource.key, person, values, where)
    elif resource.json.get("deceasedBoolean") is True:
        raise NotTaken(Reason.NO_DATE, "of the death")
    elif resource.json.get("deceasedBoolean") is False:
        yield Row("death", resource.key, person, {}, where, removed=True)
