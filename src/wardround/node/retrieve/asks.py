"""What somebody asks to be pulled: single studies, patients within dates, or the studies that answer a question."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from wardround.contracts.cohort_query import CohortQuestion, QuestionRefused, read_question
from wardround.dicom.network_query import Dates, FoundStudy, single_value
from wardround.dicom.network_query_status import KeyRefused
from wardround.foundation.errors import WardroundError
from wardround.node.retrieve.askable import NotAskable, study_conditions

LARGEST_FILE = 32 * 1024 * 1024
MOST_ASKS = 100_000
_WINDOW = timedelta(days=31)
_COLUMNS = {
    "accession": "accession",
    "accession_number": "accession",
    "accessionnumber": "accession",
    "patient": "patient_id",
    "patient_id": "patient_id",
    "patientid": "patient_id",
    "study": "study_uid",
    "study_uid": "study_uid",
    "studyinstanceuid": "study_uid",
    "from": "first",
    "to": "last",
    "modality": "modality",
}
_KEYWORDS = {"accession": "AccessionNumber", "patient_id": "PatientID", "study_uid": "StudyInstanceUID"}


class AskRefused(WardroundError):
    """Something that can't be asked for; says which line, and never quotes it."""

    code = "ask-refused"


@dataclass(frozen=True, slots=True)
class Ask:
    """One line of what was asked. `repr` shows no identifier.

    Dates are those of Study Date, both included. A `question` needs both of them.
    """

    accession: str | None = field(default=None, repr=False)
    patient_id: str | None = field(default=None, repr=False)
    study_uid: str | None = field(default=None, repr=False)
    first: date | None = None
    last: date | None = None
    modality: str | None = None
    question: CohortQuestion | None = None

    @property
    def dates(self) -> Dates | None:
        return None if self.first is None and self.last is None else (self.first, self.last)

    @property
    def identifiers(self) -> dict[str, str]:
        """What names it in a report that stays at home."""
        given = {"accession": self.accession, "patient_id": self.patient_id, "study_uid": self.study_uid}
        return {name: value for name, value in given.items() if value is not None}

    def windows(self) -> Iterator[Dates]:
        """The dates in pieces of a month, so that no answer grows without bound."""
        assert self.first is not None and self.last is not None  # noqa: S101 - checked when the ask was made
        start = self.first
        while start <= self.last:
            end = min(start + _WINDOW - timedelta(days=1), self.last)
            yield start, end
            start = end + timedelta(days=1)

    def found(self, study: FoundStudy) -> Ask:
        """The same ask, for this one study."""
        return replace(
            self,
            study_uid=study.study_uid,
            accession=study.accession or self.accession,
            patient_id=study.patient_id or self.patient_id,
            question=None,
        )

    def to_json(self) -> bytes:
        document: dict[str, object] = dict(self.identifiers)
        document |= {name: day.isoformat() for name, day in (("first", self.first), ("last", self.last)) if day}
        document |= {"modality": self.modality} if self.modality else {}
        if self.question is not None:
            document["question"] = self.question.model_dump(mode="json")
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Ask:
        document = json.loads(data)
        for name in ("first", "last"):
            if name in document:
                document[name] = date.fromisoformat(document[name])
        if "question" in document:
            document["question"] = CohortQuestion.model_validate(document["question"])
        return cls(**document)


def check(ask: Ask, where: str) -> Ask:
    """`ask` with its identifiers trimmed and its modality in capitals, once it can be asked.

    Raises:
        AskRefused: it names nothing, or what it names can't be a value; `where` says which line.
    """
    try:
        tidy = {name: single_value(_KEYWORDS[name], value) for name, value in ask.identifiers.items()}
    except KeyRefused as refused:
        raise AskRefused(f"{where}: {refused.text}") from None
    if ask.first is not None and ask.last is not None and ask.first > ask.last:
        raise AskRefused(f"{where}: the first day is after the last; swap them")
    kind = (ask.modality or "").strip().upper() or None
    if ask.question is not None:
        if kind is not None:
            raise AskRefused(f"{where}: a question says itself which images it uses; leave the modality out")
        if ask.first is None or ask.last is None:
            raise AskRefused(f"{where}: a question needs dates; give --from and --to")
        try:
            study_conditions(ask.question)
        except NotAskable as refused:
            raise AskRefused(f"{where}: {refused}") from None
    elif not tidy:
        raise AskRefused(f"{where}: names no study; give an accession number, a study UID or a patient id")
    if kind is not None and not (kind.isascii() and kind.isalnum() and len(kind) <= 16):
        raise AskRefused(f"{where}: the modality isn't a defined term such as CT or MR")
    return replace(ask, modality=kind, **tidy)  # type: ignore[arg-type] # only the three text fields


def read_asks(
    path: Path, *, first: date | None = None, last: date | None = None, modality: str | None = None
) -> list[Ask]:
    """What a file asks for, as `asks_in`.

    Raises:
        AskRefused: the file can't be read, or a line of it can't be asked; the text names the line alone.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise AskRefused(f"{path.name}: larger than {LARGEST_FILE >> 20} MiB; split it")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AskRefused(f"{path.name}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise AskRefused(f"{path.name}: isn't UTF-8 text; save it as such") from None
    return asks_in(text, path.name, first=first, last=last, modality=modality)


def asks_in(
    text: str, name: str, *, first: date | None = None, last: date | None = None, modality: str | None = None
) -> list[Ask]:
    """What a text asks for, each ask once; `name` is what errors call it.

    A JSON object is a `CohortQuestion`, for which `first` and `last` are needed. Otherwise: a table with a heading of
    `accession`, `study_uid`, `patient_id`, `from`, `to` and `modality` (any of them; comma, semicolon or tab), or a
    plain list of accession numbers, one a line. Lines that are empty or begin with `#` are skipped. `first`, `last` and
    `modality` are for lines that have none of their own.

    Raises:
        AskRefused: a line of it can't be asked; the text names the line alone.
    """
    if text.lstrip().startswith("{"):
        try:
            question = read_question(text)
        except QuestionRefused as refused:
            raise AskRefused(f"{name}: {refused}; it has to be a cohort question") from None
        return [check(Ask(question=question, first=first, last=last, modality=modality), name)]
    return once(_lines(name, text, Ask(first=first, last=last, modality=modality)))


def once(asks: Iterable[Ask]) -> list[Ask]:
    """The asks without those that repeat an earlier one.

    Raises:
        AskRefused: there is none, or there are too many.
    """
    kept = list(dict.fromkeys(asks))
    if not kept:
        raise AskRefused("nothing is asked for; give an accession number, a study UID, a patient id or a file")
    if len(kept) > MOST_ASKS:
        raise AskRefused(f"more than {MOST_ASKS} lines; split the file")
    return kept


def _lines(name: str, text: str, otherwise: Ask) -> Iterator[Ask]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    if not lines:
        return
    heading = lines[0][1]
    mark = next((mark for mark in "\t;," if mark in heading), ",")
    columns = [_COLUMNS.get(cell.strip().lower()) for cell in _cells(heading, mark, f"{name}, line {lines[0][0]}")]
    if not any(columns):
        for number, line in lines:
            yield check(replace(otherwise, accession=line.strip()), f"{name}, line {number}")
        return
    if None in columns:
        raise AskRefused(f"{name}, line {lines[0][0]}: unknown column; known are {', '.join(sorted(_COLUMNS))}")
    for number, line in lines[1:]:
        where = f"{name}, line {number}"
        cells = [cell.strip() for cell in _cells(line, mark, where)]
        if len(cells) > len(columns):
            raise AskRefused(f"{where}: more cells than the heading has")
        row = {column: cell for column, cell in zip(columns, cells, strict=False) if column and cell}
        yield check(
            Ask(
                accession=row.get("accession"),
                patient_id=row.get("patient_id"),
                study_uid=row.get("study_uid"),
                first=_day(row["first"], where) if "first" in row else otherwise.first,
                last=_day(row["last"], where) if "last" in row else otherwise.last,
                modality=row.get("modality", otherwise.modality),
            ),
            where,
        )


def _cells(line: str, mark: str, where: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=mark, strict=True))
    except (csv.Error, StopIteration):
        raise AskRefused(f"{where}: a quotation mark isn't closed") from None


def _day(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise AskRefused(f"{where}: a date has to be written as 2025-01-31") from None
