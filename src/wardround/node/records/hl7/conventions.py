"""What a hospital's FHIR and HL7 v2 leave open: which of a patient's identifiers its images have, and local codes.

A small TOML file says so; without one, what the standards name is known.

    source = "trust-a"                          # only where two servers give different records the same id

    [identifiers]                               # in the order of preference; the value is the issuer, "" our own
    "https://trust.example/mrn" = ""            # FHIR: the identifier's system
    "TRUST" = ""                                # HL7 v2: the assigning authority, its name or its universal id
    "https://fhir.nhs.uk/Id/nhs-number" = "NHS"

    [vocabularies]                              # code systems beside the known ones, by OMOP's name or your own
    "https://trust.example/ward-codes" = "TrustLocal"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from wardround.foundation.settings import SettingsRefused, read_document
from wardround.node.records.errors import RecordsRefused
from wardround.node.records.hl7.vocabularies import KNOWN
from wardround.node.records.row import Code, PersonIdentity

RECORD_NUMBER = "MR"
"""Medical record number (HL7 table 0203, the same code in FHIR's identifier types)."""
NHS = frozenset(
    {"HTTPS://FHIR.NHS.UK/ID/NHS-NUMBER", "NHS", "2.16.840.1.113883.2.1.4.1", "URN:OID:2.16.840.1.113883.2.1.4.1"}
)
_NATIONAL_TYPES = frozenset({"NH", "SS", "NI", "HC", "PPN", "DL"})
_LONGEST = 64
_MOST = 32
CODE = re.compile(r"[\x21-\x7e]{1,50}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _.+-]{0,39}")
"""What a code, and the name of a vocabulary or a source, may be."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """One of a patient's identifiers. authorities: every name of who gave it; kind: a code of table 0203, or empty."""

    value: str = field(repr=False)
    authorities: tuple[str, ...] = ()
    kind: str = ""
    old: bool = False

    @property
    def national(self) -> bool:
        """Whether it is no hospital's own number, as far as that is known."""
        return self.kind in _NATIONAL_TYPES or any(name.upper() in NHS for name in self.authorities)


@dataclass(frozen=True, slots=True)
class Conventions:
    """See the module. `identifiers` and `vocabularies` are as in the file, names in capitals."""

    identifiers: Mapping[str, str] = field(default_factory=dict)
    vocabularies: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def person(self, given: Iterable[Identifier]) -> PersonIdentity | None:
        """Whom the identifiers name: by the first authority of the file of which there is exactly one value.

        Without a list, the one medical record number, or else the one identifier that isn't national, is the
        hospital's own. None where nothing, or more than one, fits.
        """
        known = [one for one in given if usable(one.value)][:_MOST]
        current = [one for one in known if not one.old]
        chosen, issuer = self._listed(current) if self.identifiers else (self._own(current), "")
        if chosen is None:
            return None
        others = dict.fromkeys((one.value.strip(), self.issuer(one) or "") for one in known if one.value != chosen)
        return PersonIdentity(chosen.strip(), issuer, tuple(others))

    def issuer(self, identifier: Identifier) -> str | None:
        """The issuer of an identifier by the file, None if it isn't listed."""
        for name in identifier.authorities:
            if name.upper() in self.identifiers:
                return self.identifiers[name.upper()]
        return None

    def code(self, system: str, code: str) -> Code | None:
        """A code by OMOP's name of its vocabulary; None for a system that isn't known, or what can't be a code."""
        vocabulary = self.vocabularies.get(system.upper()) or KNOWN.get(system.upper())
        return None if vocabulary is None or not CODE.fullmatch(code) else Code(vocabulary, code)

    def key(self, name: str) -> str:
        """The key of a record by its name at the source."""
        return f"{self.source}|{name}" if self.source else name

    def _listed(self, current: list[Identifier]) -> tuple[str | None, str]:
        for authority, issuer in self.identifiers.items():
            values = {one.value for one in current if authority in {name.upper() for name in one.authorities}}
            if len(values) == 1:
                return values.pop(), issuer
            if values:
                return None, ""
        return None, ""

    @staticmethod
    def _own(current: list[Identifier]) -> str | None:
        local = [one for one in current if not one.national]
        numbers = {one.value for one in local if one.kind == RECORD_NUMBER} or {one.value for one in local}
        return numbers.pop() if len(numbers) == 1 else None


def usable(identifier: str) -> bool:
    """Whether it can be a Patient ID: 1 to 64 printable characters, no backslash (PS3.5, VR LO)."""
    text = identifier.strip()
    return 0 < len(text) <= _LONGEST and text.isprintable() and "\\" not in text and "\ufffd" not in text


def read_conventions(path: Path | None) -> Conventions:
    """The conventions in a file, or those without one.

    Raises:
        RecordsRefused: the file can't be used; the text says where and the mend.
    """
    if path is None:
        return Conventions()
    try:
        document = read_document(path, "mapping file")
    except SettingsRefused as refused:
        raise RecordsRefused(str(refused)) from None
    unknown = sorted(set(document) - {"source", "identifiers", "vocabularies"})
    if unknown:
        raise RecordsRefused(
            f"{path}: unknown key {unknown[0]!r}; known here: identifiers, source, vocabularies; correct or remove it"
        )
    tables = {}
    for name in ("identifiers", "vocabularies"):
        table = document.get(name, {})
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise RecordsRefused(f'{path}: [{name}] holds lines such as "system" = "name"; correct it')
        tables[name] = MappingProxyType({key.upper(): value.strip() for key, value in table.items()})
    for value in tables["vocabularies"].values():
        if not NAME.fullmatch(value):
            raise RecordsRefused(f"{path}: {value!r} is no vocabulary's name; write one as OMOP does, such as SNOMED")
    for value in tables["identifiers"].values():
        if value and not usable(value):
            raise RecordsRefused(f"{path}: {value!r} can't be an issuer; write at most 64 characters, no backslash")
    source = document.get("source", "")
    if not isinstance(source, str) or (source and not NAME.fullmatch(source)):
        raise RecordsRefused(f'{path}: source is a short name, such as "trust-a"; correct it')
    return Conventions(tables["identifiers"], tables["vocabularies"], source)
