"""Conditions, procedures, prescriptions and imaging studies as OMOP's events.

Sources: FHIR R4, Condition, Procedure, MedicationRequest, ImagingStudy; OMOP CDM 5.4 for what each column means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from wardround.node.records.fhir.navigate import child, children, number, says, text
from wardround.node.records.fhir.resource import Resource, end_of
from wardround.node.records.hl7.values import NotTaken
from wardround.node.records.hl7.vocabularies import FROM_PRESCRIPTION, FROM_RECORD
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Row, Value

WRONG = "entered-in-error"
_LONGEST_SUPPLY = 3660
_MOST = 1_000_000


def status(said: str, taken: frozenset[str], refused: Mapping[str, str]) -> None:
    """Go on for a status that is `taken`; raise NotTaken otherwise. What is `refused` takes back what was loaded."""
    if said == WRONG:
        raise NotTaken(Reason.ENTERED_IN_ERROR, removed=True)
    if said in refused:
        raise NotTaken(Reason.UNSUPPORTED, refused[said], removed=True)
    if said not in taken:
        raise NotTaken(Reason.NOT_FINAL if said else Reason.MALFORMED, "" if said else "no status")


def condition(resource: Resource) -> Iterator[Row]:
    """A row of `condition_occurrence`, for what is confirmed, or isn't said to be otherwise."""
    verified = says(child(resource.json, "verificationStatus")) or "confirmed"
    status(verified, frozenset({"confirmed"}), {"refuted": "refuted"})
    values: dict[str, Value] = {
        "condition_concept_id": resource.needed_codes(child(resource.json, "code")),
        "condition_type_concept_id": FROM_RECORD,
        **resource.when("condition_start", "onsetDateTime", "onsetPeriod", "recordedDate"),
    }
    ended = end_of(resource.json, "abatementDateTime", "abatementPeriod")
    if ended is not None:
        values["condition_end_date"] = ended.whole
    yield resource.row("condition_occurrence", values)


def procedure(resource: Resource) -> Iterator[Row]:
    """A row of `procedure_occurrence`, for what was done to its end."""
    refused = {"not-done": "not done", "stopped": "stopped"}
    status(text(resource.json, "status"), frozenset({"completed"}), refused)
    values: dict[str, Value] = {
        "procedure_concept_id": resource.needed_codes(child(resource.json, "code")),
        "procedure_type_concept_id": FROM_RECORD,
        **resource.when("procedure", "performedDateTime", "performedPeriod"),
    }
    ended = end_of(resource.json, "performedPeriod")
    if ended is not None:
        values["procedure_end_date"] = ended.whole
    yield resource.row("procedure_occurrence", values)


def medication_request(resource: Resource) -> Iterator[Row]:
    """A row of `drug_exposure` of a prescription. It ends with the validity of the dispense, or with its supply, or on
    its first day where neither is said (OMOP's rule for an exposure of unknown length)."""
    if text(resource.json, "intent") not in (
        "order",
        "original-order",
        "reflex-order",
        "filler-order",
        "instance-order",
    ):
        raise NotTaken(Reason.UNSUPPORTED, "not an order")
    if resource.json.get("doNotPerform") is True:
        raise NotTaken(Reason.UNSUPPORTED, "not to be given", removed=True)
    taken = frozenset({"active", "completed", "stopped", "on-hold"})
    status(text(resource.json, "status"), taken, {"cancelled": "cancelled"})
    concept = child(resource.json, "medicationCodeableConcept")
    if not concept:
        concept = resource.people.medication(resource.found, child(resource.json, "medicationReference"))
    supply = child(resource.json, "dispenseRequest")
    values: dict[str, Value] = {
        "drug_concept_id": resource.needed_codes(concept),
        "drug_type_concept_id": FROM_PRESCRIPTION,
        **resource.when("drug_exposure_start", "authoredOn"),
    }
    route = next((resource.codes(child(one, "route")) for one in children(resource.json, "dosageInstruction")), ())
    if route:
        values["route_concept_id"] = route
    quantity, refills = number(child(supply, "quantity"), "value"), number(supply, "numberOfRepeatsAllowed")
    if quantity is not None and quantity >= 0:
        values["quantity"] = quantity
    if refills is not None and 0 <= refills <= _MOST:
        values["refills"] = int(refills)
    yield resource.row("drug_exposure", values | _end_of_supply(resource, values["drug_exposure_start_date"]))


def _end_of_supply(resource: Resource, start: Value) -> dict[str, Value]:
    supply = child(resource.json, "dispenseRequest")
    duration = child(supply, "expectedSupplyDuration")
    days = number(duration, "value") if text(duration, "code") in ("d", "wk") else None
    if not isinstance(start, date):
        return {}
    values: dict[str, Value] = {"drug_exposure_end_date": start}
    if days is not None and 0 < days <= _LONGEST_SUPPLY:
        whole = int(days * (7 if text(duration, "code") == "wk" else 1))
        if whole:
            values["days_supply"] = whole
            values["drug_exposure_end_date"] = start + timedelta(days=min(whole - 1, (date.max - start).days))
    ended = end_of(supply, "validityPeriod")
    if ended is not None and ended.whole is not None and ended.whole >= start:
        values["verbatim_end_date"] = values["drug_exposure_end_date"] = ended.whole
    return values


def imaging_study(resource: Resource) -> Iterator[Row]:
    """A row of `procedure_occurrence` that says that imaging took place; its key is the study's UID, if it is told.

    The images themselves come to `image_occurrence` from the enclave, of which this node knows more than a record can.
    """
    status(text(resource.json, "status"), frozenset({"available"}), {"cancelled": "cancelled"})
    codes = tuple(code for one in children(resource.json, "procedureCode") for code in resource.codes(one))
    for modality in children(resource.json, "modality"):
        code = resource.conventions.code(text(modality, "system"), text(modality, "code"))
        codes += () if code is None else (code,)
    if not codes:
        raise NotTaken(Reason.NO_CODE)
    values: dict[str, Value] = {
        "procedure_concept_id": codes,
        "procedure_type_concept_id": FROM_RECORD,
        **resource.when("procedure", "started"),
    }
    yield resource.row("procedure_occurrence", values, study_key(resource))


def study_key(resource: Resource) -> str:
    """The key of an ImagingStudy: by its Study Instance UID, so that it is one however often it is told."""
    for one in children(resource.json, "identifier"):
        uid = text(one, "value").removeprefix("urn:oid:")
        if text(one, "system") == "urn:dicom:uid" and uid:
            return f"study:{uid}"
    return resource.key
