"""Code systems by their FHIR addresses and HL7 v2 names, as OMOP's vocabulary ids; and OMOP's own numbers.

Sources: HL7 Terminology (https://terminology.hl7.org); HL7 table 0396; NHS England's dm+d and OPCS-4 in UK Core; OHDSI
Athena for the vocabulary ids and concepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SYSTEMS = {
    "SNOMED": "http://snomed.info/sct SCT SNOMEDCT SNOMED-CT SNOMED urn:oid:2.16.840.1.113883.6.96",
    "LOINC": "http://loinc.org LN LOINC urn:oid:2.16.840.1.113883.6.1",
    "ICD10": "http://hl7.org/fhir/sid/icd-10 I10 ICD10 ICD-10 urn:oid:2.16.840.1.113883.6.3 "
    "http://hl7.org/fhir/sid/icd-10-uk https://fhir.hl7.org.uk/Id/icd-10",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm I10C ICD10CM ICD-10-CM urn:oid:2.16.840.1.113883.6.90",
    "ICD10PCS": "http://www.cms.gov/Medicare/Coding/ICD10 http://hl7.org/fhir/sid/icd-10-pcs I10P ICD10PCS",
    "ICD9CM": "http://hl7.org/fhir/sid/icd-9-cm I9C I9CDX ICD9CM ICD9 urn:oid:2.16.840.1.113883.6.103",
    "ICD9Proc": "http://hl7.org/fhir/sid/icd-9-cm/procedure I9CP",
    "ICDO3": "http://terminology.hl7.org/CodeSystem/icd-o-3 http://hl7.org/fhir/sid/icd-o-3 ICDO3 ICD-O-3",
    "RxNorm": "http://www.nlm.nih.gov/research/umls/rxnorm RXNORM urn:oid:2.16.840.1.113883.6.88",
    "NDC": "http://hl7.org/fhir/sid/ndc NDC",
    "CVX": "http://hl7.org/fhir/sid/cvx CVX",
    "dm+d": "https://dmd.nhs.uk http://dmd.nhs.uk DMD DM+D",
    "OPCS4": "https://fhir.hl7.org.uk/CodeSystem/OPCS-4 https://fhir.nhs.uk/Id/opcs-4 "
    "http://fhir.hl7.org.uk/fhir/CodeSystem/OPCS-4 OPCS4 OPCS-4 O4",
    "CPT4": "http://www.ama-assn.org/go/cpt C4 CPT CPT4",
    "HCPCS": "http://terminology.hl7.org/CodeSystem/HCPCS-all-codes HCPCS "
    "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "ATC": "http://www.whocc.no/atc ATC WC",
    "UCUM": "http://unitsofmeasure.org UCUM",
    "DICOM": "http://dicom.nema.org/resources/ontology/DCM DCM",
    "CDCREC": "urn:oid:2.16.840.1.113883.6.238 CDCREC",
    "NHS Ethnic Category": "https://fhir.hl7.org.uk/CodeSystem/UKCore-EthnicCategoryEngland "
    "https://fhir.hl7.org.uk/CodeSystem/UKCore-EthnicCategory NHSEC",
}
KNOWN: Mapping[str, str] = MappingProxyType(
    {name.upper(): vocabulary for vocabulary, names in _SYSTEMS.items() for name in names.split()}
)
"""System's address or name, in capitals, to OMOP's vocabulary id."""

OMOP_RACE: Mapping[str, str] = MappingProxyType(
    {"1002-5": "1", "2028-9": "2", "2054-5": "3", "2076-8": "4", "2106-3": "5"}
)
"""CDC's codes of race to those of OMOP's vocabulary `Race`."""
OMOP_ETHNICITY: Mapping[str, str] = MappingProxyType({"2135-2": "Hispanic", "2186-5": "Not Hispanic"})

FROM_RECORD, FROM_LABORATORY, FROM_PRESCRIPTION = 32817, 32856, 32838
"""Type concepts: EHR, lab, EHR prescription."""
COMPARATORS: Mapping[str, int] = MappingProxyType(
    {"<": 4171756, "<=": 4171754, "=": 4172703, ">=": 4171755, ">": 4172704}
)
"""Concepts of `operator_concept_id`."""
YES, NO = 4188539, 4188540
INPATIENT, OUTPATIENT, EMERGENCY = 9201, 9202, 9203
"""Concepts of `visit_concept_id`."""
