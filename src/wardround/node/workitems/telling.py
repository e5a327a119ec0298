"""What is told of workitems: search and retrieve. Patient and study are said by the study's own files, as they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import pydicom
from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.stage import STAGES
from wardround.dicom.damage import DAMAGE
from wardround.dicom.finding import OWN
from wardround.dicom.json_model import sequence, text
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.clinic.states import IN_WORDS, ReadingState
from wardround.node.clinic.tables import WorklistLine
from wardround.node.dicomweb.failure import WebFailure, bad_request, not_found
from wardround.node.dicomweb.header import Json
from wardround.node.dicomweb.matching import Search, matches, tag_of
from wardround.node.receive.clinical import ClinicalStudy, clinical_study
from wardround.node.report.document import DICOM
from wardround.node.report.shelf import outputs_of
from wardround.node.report.states import OutputState
from wardround.node.report.tables import Output
from wardround.node.workitems import attributes as at
from wardround.node.workitems.states import FINAL, StepState
from wardround.node.workitems.tables import Workitem, said_of

WORKLIST = "WARDROUND"
_UNREADABLE: tuple[type[Exception], ...] = (OSError, *DAMAGE)
_THERE = (OutputState.SENT.value, OutputState.COMMITTED.value)
_HEAD = (
    "StudyInstanceUID",
    "AccessionNumber",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "SpecificCharacterSet",
)
_REFERENCE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")


class WorkitemView:
    """Tells of workitems whose study is here still.

    Args:
        clinical, results: where studies and outputs lie.
        keep: for how long a study stays.
        station: this node's name, as the station that its own work was done at.
    """

    def __init__(
        self, database: Database, clinical: Path, results: Path, keep: timedelta, station: str, clock: Clock
    ) -> None:
        self._database = database
        self._clinical = clinical
        self._results = results
        self._keep = keep
        self._station = station
        self._clock = clock

    def retrieve(self, uid: str) -> Json:
        """All that is known of one. Raises `WebFailure`: 404, or 410 where its study was purged."""
        with self._database.reading() as session:
            row = session.get(Workitem, uid)
            line = None if row is None or row.line is None else session.get(WorklistLine, row.line)
        if row is None:
            raise not_found()
        study = self._study(row.study)
        told = None if study is None else self._told(row, line, study)
        if study is None or told is None:
            raise WebFailure(410, "the study of this workitem has been purged")
        return told | self._inputs(study) | self._work(row, line, study)

    def search(self, search: Search, within: Mapping[str, str]) -> tuple[list[Json], bool]:
        """Those that match, the newest last; and whether there are more.

        Args:
            within: keys inside sequences, `SEQUENCE.ATTRIBUTE` by tags, and their values.
        """
        recent = self._recent(search.keys.get(at.STATE))
        return search.page(told for told in recent if _meets(told, search.keys, within))

    def meeting(self, keys: Mapping[str, str]) -> list[str]:
        """The UIDs of those that meet matching keys, as `tables.WorkitemWatch` has them."""
        return [text(told, at.SOP_INSTANCE) for told in self._recent(keys.get(at.STATE)) if _meets(told, *_apart(keys))]

    def meets(self, session: Session, row: Workitem, keys: Mapping[str, str]) -> bool:
        if not keys:
            return True
        line = None if row.line is None else session.get(WorklistLine, row.line)
        study = self._study(row.study)
        told = None if study is None else self._told(row, line, study)
        return told is not None and _meets(told, *_apart(keys))

    def readiness(self, uid: str) -> str | None:
        """Input Readiness State of a workitem; None where its study was purged."""
        with self._database.reading() as session:
            row = session.get(Workitem, uid)
        study = None if row is None else self._study(row.study)
        return None if study is None else _ready(study)

    def _recent(self, state: str | None) -> Iterator[Json]:
        asked = (
            select(Workitem, WorklistLine)
            .outerjoin(WorklistLine, WorklistLine.id == Workitem.line)
            .where(Workitem.made_at >= self._clock() - self._keep)
            .order_by(Workitem.made_at, Workitem.uid)
        )
        if state in set(StepState):
            asked = asked.where(Workitem.state == state)
        with self._database.reading() as session:
            rows = session.execute(asked).all()
        for row, line in rows:
            study = self._study(row.study)
            if study is not None and (told := self._told(row, line, study)) is not None:
                yield told

    def _study(self, key: str) -> ClinicalStudy | None:
        return clinical_study(self._database, self._clinical, key, complete=None)

    def _told(self, row: Workitem, line: WorklistLine | None, study: ClinicalStudy) -> Json | None:
        """What a search tells; None where the study's files went just now."""
        head = _head(study.files[0]) if study.files else None
        if head is None:
            return None
        said = said_of(row) if line is None else _progress(row, line)
        told: Json = {
            at.SOP_CLASS: at.one("UI", at.UPS_PUSH),
            at.SOP_INSTANCE: at.one("UI", row.uid),
            at.STATE: at.one("CS", row.state),
            at.PRIORITY: at.one("CS", row.priority),
            at.LABEL: at.one("LO", row.label),
            at.WORKLIST_LABEL: at.one("LO", WORKLIST),
            at.READINESS: at.one("CS", _ready(study)),
            at.START: at.moment(row.made_at),
            at.MODIFIED: at.moment(row.changed_at),
            at.WORK_CODE: at.items(at.coded(row.code, row.scheme, row.meaning)),
            at.ASSIGNED: at.station(row.assigned),
            at.PROGRESS: said.get(at.PROGRESS) or at.items(),
            at.REQUEST: at.items({tag: head[tag] for tag in (at.STUDY, at.ACCESSION)}),
            **{tag: head[tag] for tag in at.PATIENT},
        }
        if line is not None:
            told[at.EXPECTED] = at.moment(line.due_at)
        return dict(sorted(told.items()))

    def _inputs(self, study: ClinicalStudy) -> Json:
        head = _head(study.files[0]) or {}
        told = []
        for files in study.series.values():
            objects = [found for file in files if (found := _reference(file)) is not None]
            if objects:
                told.append(at.referenced(text(head, at.STUDY), objects[0][2], [one[:2] for one in objects]))
        return {at.INPUT: at.items(*told)}

    def _work(self, row: Workitem, line: WorklistLine | None, study: ClinicalStudy) -> Json:
        """What was done; nothing before there is anything to tell."""
        if line is None:
            done = said_of(row).get(at.PERFORMED)
            return {at.PERFORMED: done or at.items()}
        if row.state != StepState.COMPLETED or line.read_at is None:
            return {at.PERFORMED: at.items()}
        with self._database.reading() as session:
            outputs = outputs_of(session, line.id)
        head = _head(study.files[0]) or {}
        performed: Json = {
            at.STATION: at.items(at.coded(self._station[:16], OWN, f"Wardround at {self._station}"[:64])),
            at.BEGUN: at.moment(line.read_at),
            at.ENDED: at.moment(line.read_at),
            at.DONE_CODE: at.items(at.coded(row.code, row.scheme, row.meaning)),
            at.OUTPUT: at.items(*self._outputs(line, outputs, text(head, at.STUDY))),
        }
        return {at.PERFORMED: at.items(performed)}

    def _outputs(self, line: WorklistLine, outputs: list[Output], study: str) -> Iterator[Json]:
        """What the PACS has of it, where the stage shows the ward its results: of others no object is named."""
        if STAGES[line.read_as].results != "ward" or line.state == ReadingState.WITHHELD:
            return
        for output in outputs:
            if output.kind in DICOM and output.state in _THERE and output.file is not None:
                found = _reference(self._results / output.file)
                if found is not None:
                    yield at.referenced(study, found[2], [found[:2]])


def _ready(study: ClinicalStudy) -> str:
    return "READY" if study.complete else "INCOMPLETE"


def _progress(row: Workitem, line: WorklistLine) -> Json:
    """How this node's own work goes. What a reading found isn't told here."""
    if row.state not in FINAL:
        return {}
    if row.state == StepState.COMPLETED:
        return {at.PROGRESS: at.items({"00741004": at.one("DS", 100)})}
    state = ReadingState(line.state)
    why = line.reason or state.value
    told: Json = {
        at.CANCELED_AT: at.moment(row.changed_at),
        at.REASON: at.one("LT", row.reason or IN_WORDS[state]),
        at.REASON_CODE: at.items(at.coded(why.upper()[:16].strip("-"), OWN, why[:64])),
    }
    return {at.PROGRESS: at.items(told)}


@lru_cache(maxsize=8192)
def _head(file: Path) -> Json | None:
    """What the first image of a study says of patient and study; None where the file is gone."""
    try:
        ds = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_HEAD))
        said: Json = ds.to_json_dict()
    except _UNREADABLE:
        return None
    empty = {tag: {"vr": vr} for tag, vr in zip(at.PATIENT, ("PN", "LO", "LO", "DA", "CS"), strict=True)}
    wanted = empty | {at.STUDY: {"vr": "UI"}, at.ACCESSION: {"vr": "SH"}}
    return {tag: said.get(tag, blank) for tag, blank in wanted.items()}


def _reference(file: Path) -> tuple[str, str, str] | None:
    """Class, instance and series of an object."""
    try:
        ds = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_REFERENCE))
    except _UNREADABLE:
        return None
    return str(ds.get("SOPClassUID", "")), str(ds.get("SOPInstanceUID", "")), str(ds.get("SeriesInstanceUID", ""))


def split_keys(parameters: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The keys of a search, and apart those inside sequences (PS3.18 8.3.4.1), one level deep.

    Raises:
        WebFailure: 400, a key deeper than that, or of no attribute.
    """
    plain, within = [], {}
    for name, value in parameters:
        if "." not in name:
            plain.append((name, value))
            continue
        parts = name.split(".")
        if len(parts) != 2 or len(value) > 1024:
            raise bad_request("attributes are searched for within one sequence at most")
        within[".".join(tag_of(part) for part in parts)] = value.strip()
    return plain, {path: value for path, value in within.items() if value not in ("", "*")}


def _apart(keys: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Keys, and those inside sequences."""
    plain = {tag: value for tag, value in keys.items() if "." not in tag}
    return plain, {tag: value for tag, value in keys.items() if tag not in plain}


def _meets(told: Json, keys: Mapping[str, str], within: Mapping[str, str]) -> bool:
    if not all(matches(told.get(tag), value, tag) for tag, value in keys.items()):
        return False
    for path, value in within.items():
        outer, inner = path.split(".")
        if not any(matches(item.get(inner), value, inner) for item in sequence(told, outer)):
            return False
    return True
