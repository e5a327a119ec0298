"""Whom references mean: an index of the Patients (and the codes of the Medications) of what is read."""

from __future__ import annotations

import json
import re

from wardround.node.records.fhir.navigate import Json, child, children, says, text
from wardround.node.records.fhir.stream import Found
from wardround.node.records.hl7.conventions import Conventions, Identifier
from wardround.node.records.row import PersonIdentity
from wardround.node.records.scratch import Scratch

_VERSION = re.compile(r"/_history/[^/]*$")
_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}")
_CONDITIONAL = re.compile(r"Patient\?identifier=([^&|]*)\|([^&|]+)")
_AMBIGUOUS = ""
_LONGEST_CHAIN = 8


def identifiers(nodes: list[Json]) -> list[Identifier]:
    """The identifiers of a resource."""
    found = []
    for node in nodes:
        system = text(node, "system")
        authorities = tuple(name for name in (system, system.removeprefix("urn:oid:")) if name)
        kind = says(child(node, "type"))
        found.append(Identifier(text(node, "value"), authorities, kind, old=text(node, "use") == "old"))
    return found


class People(Scratch):
    """Finds the patient, or the medication, that a reference means, wherever in the files it is. To be used as a
    context manager."""

    def __init__(self, conventions: Conventions) -> None:
        super().__init__(
            "CREATE TABLE known (name TEXT PRIMARY KEY, who TEXT NOT NULL, what TEXT NOT NULL) WITHOUT ROWID"
        )
        self._conventions = conventions

    def identity(self, patient: Json) -> PersonIdentity | None:
        """Whom a Patient resource is about, by its identifiers."""
        return self._conventions.person(identifiers(children(patient, "identifier")))

    def add(self, found: Found) -> None:
        """Note a Patient or a Medication under all its names."""
        resource = found.resource
        if found.kind == "Patient":
            into = _replaced_by(resource)
            person = self.identity(resource)
            if into:
                who = what = json.dumps({"see": into})
            elif person is not None:
                who = json.dumps([person.patient_id, person.issuer])
                what = json.dumps([person.patient_id, person.issuer, person.others])
            else:
                return
            for one in children(resource, "identifier"):
                if text(one, "system") and text(one, "value"):
                    self._note(f"id|{text(one, 'system')}|{text(one, 'value')}", who, what)
        else:
            who = what = json.dumps(child(resource, "code"))
        for name in _names(found):
            self._note(name, who, what)

    def of(self, found: Found, reference: Json) -> PersonIdentity | None:
        """Whom a reference means, None if it can't be told, or not without doubt."""
        what = self._follow(found, reference)
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(what, dict) or "see" not in what:
                break
            what = self._follow(found, {"reference": what["see"]})
        if isinstance(what, dict) and what.get("resourceType") == "Patient":
            return self.identity(what)
        if isinstance(what, list):
            return PersonIdentity(what[0], what[1], tuple((value, issuer) for value, issuer in what[2]))
        given = identifiers([child(reference, "identifier")])
        if not text(reference, "reference") and self._conventions.issuer(given[0]) is not None:
            return self._conventions.person(given)
        return None

    def medication(self, found: Found, reference: Json) -> Json:
        """The code of the Medication that a reference means; empty if it isn't there."""
        what = self._follow(found, reference)
        if not isinstance(what, dict):
            return {}
        return child(what, "code") if what.get("resourceType") == "Medication" else what

    def _follow(self, found: Found, reference: Json) -> object:
        target = _VERSION.sub("", text(reference, "reference"))
        if target.startswith("#"):
            inside = children(found.resource, "contained")
            return next((one for one in inside if text(one, "id") == target.removeprefix("#")), None)
        names = []
        if conditional := _CONDITIONAL.fullmatch(target):
            names.append(f"id|{conditional[1]}|{conditional[2]}")
        elif target:
            base = _base(found)
            if _RELATIVE.fullmatch(target) and base:
                names.append(f"{base}/{target}")
            names += [f"{found.file}|{target}", target]
        else:
            identifier = child(reference, "identifier")
            names.append(f"id|{text(identifier, 'system')}|{text(identifier, 'value')}")
        for name in names:
            row = self._database.execute("SELECT what FROM known WHERE name = ?", (name,)).fetchone()
            if row is not None:
                return None if row[0] == _AMBIGUOUS else json.loads(row[0])
        return None

    def _note(self, name: str, who: str, what: str) -> None:
        # One name for two different persons names neither.
        self._database.execute(
            "INSERT INTO known VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "what = CASE WHEN who = excluded.who THEN excluded.what ELSE '' END, "
            "who = CASE WHEN who = excluded.who THEN who ELSE '' END",
            (name, who, what),
        )


def _names(found: Found) -> list[str]:
    names = []
    url = _VERSION.sub("", found.url)
    if url:
        names += [url, f"{found.file}|{url}"]
    own = text(found.resource, "id")
    if own:
        names += [f"{found.kind}/{own}", f"{found.file}|{found.kind}/{own}"]
    return names


def _base(found: Found) -> str:
    """The server that a resource is at, by its address."""
    end = f"/{found.kind}/{text(found.resource, 'id')}"
    url = _VERSION.sub("", found.url)
    return url.removesuffix(end) if url.startswith("http") and url.endswith(end) else ""


def _replaced_by(patient: Json) -> str:
    for link in children(patient, "link"):
        if text(link, "type") == "replaced-by":
            return text(child(link, "other"), "reference")
    return ""
