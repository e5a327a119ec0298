"""The reader of FHIR: a bundle, an NDJSON file, or a folder of them.

Everything is read twice: first whose each identifier is, then the records, so that a record may come before its patient
and in another file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.fhir.clinical import (
    condition,
    imaging_study,
    medication_request,
    procedure,
    study_key,
)
from wardround.node.records.fhir.observed import component_keys, conclusion_keys, diagnostic_report, observation
from wardround.node.records.fhir.patient import patient
from wardround.node.records.fhir.people import People
from wardround.node.records.fhir.resource import Resource
from wardround.node.records.fhir.stream import SUFFIXES, Found, resources
from wardround.node.records.given import files_of
from wardround.node.records.hl7.conventions import Conventions, read_conventions
from wardround.node.records.hl7.values import NotTaken
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Reader, Rejected, Row
from wardround.node.records.sources import Options

_READ: Mapping[str, Callable[[Resource], Iterator[Row] | Iterator[Row | Rejected]]] = MappingProxyType(
    {
        "Patient": patient,
        "Condition": condition,
        "Observation": observation,
        "Procedure": procedure,
        "MedicationRequest": medication_request,
        "ImagingStudy": imaging_study,
        "DiagnosticReport": diagnostic_report,
    }
)
_TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Condition": ("condition_occurrence",),
        "Observation": ("measurement", "observation"),
        "Procedure": ("procedure_occurrence",),
        "MedicationRequest": ("drug_exposure",),
        "ImagingStudy": ("procedure_occurrence",),
        "DiagnosticReport": ("observation",),
    }
)


def source(options: Options) -> Reader:
    """The reader for `wardround node records load --as fhir`; its mapping is that of `hl7.conventions`.

    Raises:
        RecordsRefused: the mapping can't be used, or a link file is given.
    """
    if options.link is not None:
        raise RecordsRefused("FHIR takes no link file; say under [identifiers] of a mapping file which number counts")
    conventions = read_conventions(Path(options.mapping) if options.mapping else None)
    return lambda path: read(path, conventions)


def read(path: Path, conventions: Conventions) -> Iterator[Row | Rejected]:
    """Patients first, then all else, in the order of the files.

    Raises:
        RecordsRefused: there is no such file, or no FHIR in the folder.
    """
    files = files_of(path, SUFFIXES, "FHIR")
    with People(conventions) as people:
        for number, file in enumerate(files, start=1):
            for found in resources(file, number):
                if isinstance(found, Found) and found.kind in ("Patient", "Medication"):
                    people.add(found)
        for patients in (True, False):
            for number, file in enumerate(files, start=1):
                for found in resources(file, number):
                    if isinstance(found, Found):
                        if (found.kind == "Patient") is patients and found.kind != "Medication":
                            yield from _records(Resource(found, people, conventions))
                    elif not patients:
                        yield found


def _records(resource: Resource) -> Iterator[Row | Rejected]:
    found = resource.found
    reader = _READ.get(found.kind)
    if reader is None:
        yield Rejected(Reason.UNSUPPORTED, found.where)
        return
    try:
        yield from reader(resource)
    except NotTaken as refused:
        if refused.removed:
            yield from _taken_back(resource)
        yield refused.at(found.where)


def _taken_back(resource: Resource) -> Iterator[Row]:
    """What was loaded of this resource goes, if it still says whose it is."""
    try:
        person = resource.person()
    except NotTaken:
        return
    for table in _TABLES[resource.found.kind]:
        for key in _keys(resource):
            yield Row(table, key, person, {}, resource.found.where, removed=True)


def _keys(resource: Resource) -> list[str]:
    """The keys of all that this resource may have given."""
    if resource.found.kind == "ImagingStudy":
        return [study_key(resource)]
    if resource.found.kind == "DiagnosticReport":
        return conclusion_keys(resource)
    return [resource.key, *(component_keys(resource) if resource.found.kind == "Observation" else ())]
