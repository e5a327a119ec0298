"""Resources out of files, one at a time: a bundle's entries and a bulk export's lines, never a whole file in memory.

Sources: FHIR R4, Bundle; HL7, FHIR Bulk Data Access 2.0 (NDJSON).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import JSONDecodeError
from pathlib import Path
from typing import TextIO

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.fhir.navigate import Json, child, children, text
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Rejected

LARGEST = 16 * 1024 * 1024
"""Characters of one resource, at most."""
SUFFIXES = (".json", ".ndjson", ".jsonl")
_CHUNK = 64 * 1024
_BLANK = " \t\r\n"
_TELLS_A_TYPE = re.compile(r"[A-Z][A-Za-z]{2,39}(\.\d{1,6})?(\.[0-9]{1,6})?\.(json|ndjson|jsonl)")
_NAMES = """
    Account AllergyIntolerance Appointment Binary BodyStructure Bundle CarePlan CareTeam Claim Communication
    Condition Consent Coverage Device DeviceUseStatement DiagnosticReport DocumentReference Encounter
    EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag Goal Group ImagingStudy Immunization List
    Location Media Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement
    Observation OperationOutcome Organization Patient Practitioner PractitionerRole Procedure Provenance
    Questionnaire QuestionnaireResponse RelatedPerson ServiceRequest Specimen SupplyDelivery Task
"""
NAMED = frozenset(_NAMES.split())
"""Names of resources that a person may be told; what else stands there may be anything."""


@dataclass(frozen=True, slots=True)
class Found:
    """A resource, where it was, and its address in its bundle, if any. `file`: the number of its file."""

    resource: Json = field(repr=False)
    file: int
    where: str
    url: str = field(default="", repr=False)

    @property
    def kind(self) -> str:
        return text(self.resource, "resourceType")


def resources(path: Path, number: int) -> Iterator[Found | Rejected]:
    """Every resource of file `number`; what can't be read is told as rejected, and reading goes on where it can."""
    # A file's name may say who it is about, unless it is of the form that bulk exports have.
    name = path.name if _TELLS_A_TYPE.fullmatch(path.name) and path.name.split(".")[0] in NAMED else f"file {number}"
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
            if path.suffix.lower() != ".json" or _is_lines(file):
                yield from _lines(file, number, name)
            else:
                yield from _document(file, number, name)
    except OSError as error:
        raise RecordsRefused(f"{path}: can't be read ({error.strerror}); mend that, and load again") from None


def parse(source: str) -> object:
    """JSON without what isn't: NaN, infinities, numbers of thousands of digits, nesting without end.

    Raises:
        ValueError: it can't be read.
    """
    try:
        return _DECODER.decode(source)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _not_json(_word: str) -> object:
    raise ValueError("no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_not_json)


def _is_lines(file: TextIO) -> bool:
    """Whether a file called .json is NDJSON: its first line is a resource, and another one follows."""
    first = file.readline(LARGEST)
    second = file.readline(_CHUNK)
    file.seek(0)
    if not (first.endswith("\n") and second.lstrip(_BLANK).startswith("{")):
        return False
    try:
        return isinstance(parse(first), dict)
    except ValueError:
        return False


def _lines(file: TextIO, number: int, name: str) -> Iterator[Found | Rejected]:
    at = 0
    while line := file.readline(LARGEST):
        at += 1
        place = f"{name} line {at}"
        if len(line) == LARGEST and not line.endswith("\n"):
            while line and not line.endswith("\n"):
                line = file.readline(LARGEST)
            yield Rejected(Reason.TOO_LARGE, place)
        elif line.strip(_BLANK):
            yield from _read(line, number, place)


def _read(line: str, number: int, place: str) -> Iterator[Found | Rejected]:
    try:
        resource = parse(line)
    except ValueError:
        yield Rejected(Reason.MALFORMED, place)
        return
    if isinstance(resource, dict) and text(resource, "resourceType") == "Bundle":
        for index, entry in enumerate(children(resource, "entry"), start=1):
            yield from _entry(entry, number, f"{place} entry {index}")
    else:
        yield _found(resource, number, place)


def _entry(entry: object, number: int, place: str) -> Iterator[Found | Rejected]:
    if not isinstance(entry, dict):
        yield Rejected(Reason.MALFORMED, place)
        return
    if text(child(entry, "search"), "mode") == "outcome":
        return
    if text(child(entry, "request"), "method") == "DELETE":
        yield Rejected(Reason.UNSUPPORTED, f"{place} (deleted)")
        return
    yield _found(entry.get("resource"), number, place, text(entry, "fullUrl"))


def _found(resource: object, number: int, place: str, url: str = "") -> Found | Rejected:
    kind = text(resource, "resourceType") if isinstance(resource, dict) else ""
    if not isinstance(resource, dict) or not kind:
        return Rejected(Reason.MALFORMED, place)
    return Found(resource, number, f"{place} ({kind if kind in NAMED else 'resource'})", url)


def _document(file: TextIO, number: int, name: str) -> Iterator[Found | Rejected]:
    """One JSON object: a bundle, entry by entry; or a single resource."""
    reader = _Reader(file)
    fields: dict[str, object] = {}
    at = 0
    try:
        reader.expect("{")
        while reader.peek() != "}":
            key = reader.value()
            reader.expect(":")
            if key == "entry" and reader.peek() == "[":
                reader.expect("[")
                while reader.peek() != "]":
                    at += 1
                    yield from _entry(reader.value(), number, f"{name} entry {at}")
                    if reader.peek() != "]":
                        reader.expect(",")
                reader.expect("]")
                at = max(at, 1)
            elif isinstance(key, str):
                fields[key] = reader.value()
            if reader.peek() != "}":
                reader.expect(",")
        reader.end()
    except _TooLarge:
        yield Rejected(Reason.TOO_LARGE, f"{name} entry {at}" if at else name)
    except ValueError:
        yield Rejected(Reason.MALFORMED, f"{name} entry {at}" if at else name)
    else:
        if text(fields, "resourceType") == "Bundle":
            if text(fields, "type") == "history":
                yield Rejected(Reason.UNSUPPORTED, f"{name} (history)")
        elif not at:
            yield _found(fields, number, name)


class _TooLarge(Exception):
    """A value is longer than a resource may be."""


class _Reader:
    """JSON values out of a stream of characters, one at a time."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that isn't blank; raises ValueError at the end."""
        while True:
            while self._at < len(self._held):
                if self._held[self._at] not in _BLANK:
                    return self._held[self._at]
                self._at += 1
            if not self._more(_CHUNK):
                raise ValueError("ends too early")

    def expect(self, letter: str) -> None:
        if self.peek() != letter:
            raise ValueError("not what JSON says")
        self._at += 1

    def end(self) -> None:
        """Take the last `}`; raises ValueError where something follows it."""
        self.expect("}")
        while not self._held[self._at :].strip(_BLANK):
            if not self._more(_CHUNK):
                return
        raise ValueError("more than one document")

    def value(self) -> object:
        """The next value.

        Raises:
            ValueError: it isn't JSON.
            _TooLarge: it doesn't end within `LARGEST` characters.
        """
        first = self.peek()
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
                # A number or a word at the end of what was read may go on.
                if first in '{["' or end < len(self._held) or not self._more(_CHUNK):
                    self._at = end
                    return value
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except JSONDecodeError:
                if len(self._held) - self._at > LARGEST:
                    raise _TooLarge from None
                # Twice as much each time, so that a large value isn't read anew for each piece.
                if not self._more(size):
                    raise
                size *= 2

    def _more(self, size: int) -> bool:
        if self._ended:
            return False
        # What was read is let go of, so that what is held stays small.
        self._held = self._held[self._at :] + (piece := self._file.read(size))
        self._at = 0
        self._ended = not piece
        return bool(piece)
