"""The enclave as a Query/Retrieve SCP's archive: the same searches and the same objects as DICOMweb shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from sqlalchemy.exc import DBAPIError

from wardround.dicom.network_provider import ArchiveUnavailable, Held, IdentifierRefused, Level, Match
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.dicomweb.catalogue import Catalogue, Shown
from wardround.node.dicomweb.failure import WebFailure
from wardround.node.dicomweb.header import INSTANCE, SERIES, STUDY, Json, tags
from wardround.node.dicomweb.matching import LARGEST_LIMIT, Search
from wardround.node.dicomweb.pixels import PixelsUnreadable, as_explicit_little
from wardround.node.dicomweb.qido import Searches

_PATIENT_ID, _STUDY_UID, _SERIES_UID, _SOP_UID = tags(
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"
)
_PATIENT = tags("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_MODALITIES, _RETRIEVE_URL = tags("ModalitiesInStudy", "RetrieveURL")
_NOT_KEYS = frozenset(tags("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle", "InstanceAvailability"))
_KNOWN = {
    Level.PATIENT: frozenset(_PATIENT),
    Level.STUDY: frozenset({*STUDY, _MODALITIES}),
    Level.SERIES: frozenset({*STUDY, *SERIES}),
    Level.IMAGE: frozenset({*STUDY, *SERIES, *INSTANCE}),
}
_UNIQUE = {
    Level.PATIENT: (_PATIENT_ID,),
    Level.STUDY: (_STUDY_UID,),
    Level.SERIES: (_STUDY_UID, _SERIES_UID),
    Level.IMAGE: (_STUDY_UID, _SERIES_UID, _SOP_UID),
}


class EnclaveArchive:
    """What the enclave shows, searched and read for callers in the hospital; what is sent is audited.

    Patients who opted out and studies that still come in are neither found nor sent.
    """

    def __init__(self, database: Database, catalogue: Catalogue, title: str, clock: Clock) -> None:
        self._database = database
        self._catalogue = catalogue
        self._title = title
        self._clock = clock
        self._searches = Searches(database, lambda _place: "")

    def find(self, level: Level, identifier: Dataset) -> Iterator[Match]:
        """All that matches, without limit (PS3.4 C.2.2.2).

        Raises:
            IdentifierRefused: a key can't be understood.
            ArchiveUnavailable: the index can't be read now.
        """
        asked = _keys(identifier)
        keys = {tag: value for tag, value in asked.items() if value not in ("", "*")}
        known = {tag: value for tag, value in keys.items() if tag in _KNOWN[level]}
        for answer in self._answers(level, known, frozenset(asked)):
            yield Match(self._identifier(level, answer, asked), every_key=len(known) == len(keys))

    def objects(self, level: Level, identifier: Dataset, caller: str) -> Sequence[Held]:
        """The objects that a retrieval names by its unique keys (PS3.4 C.4.2.1.4).

        Raises:
            IdentifierRefused: a unique key is missing, or holds a wild card.
            ArchiveUnavailable: the index can't be read now.
        """
        keys = _keys(identifier)
        named = {tag: _list(keys.get(tag, "")) for tag in _UNIQUE[level]}
        # Above the lowest level a single value is named (PS3.4 C.4.2.2.1).
        if not all(named.values()) or any(
            len(named[tag]) > 1 for tag in (_PATIENT_ID, *_UNIQUE[level][:-1]) if tag in named
        ):
            raise IdentifierRefused
        if any(set(value) & set("*?") for values in named.values() for value in values):
            raise IdentifierRefused
        try:
            if level is Level.PATIENT:
                wanted = {_PATIENT_ID: "\\".join(named[_PATIENT_ID])}
                studies = [
                    str(found[_STUDY_UID]["Value"][0]) for found in self._answers(Level.STUDY, wanted, frozenset())
                ]
            else:
                studies = named[_STUDY_UID]
            shown = [
                one
                for study in studies
                for series in named.get(_SERIES_UID, [None])
                for instance in named.get(_SOP_UID, [None])
                for one in self._catalogue.instances(study, series, instance)
            ]
            self._record(shown, caller)
        except DBAPIError:
            raise ArchiveUnavailable from None
        return [Held(one.file, one.sop_class, one.transfer_syntax) for one in shown]

    def uncompressed(self, held: Held) -> Dataset | None:
        try:
            return dcmread(BytesIO(as_explicit_little(held.file)))
        except PixelsUnreadable:
            return None

    def _answers(self, level: Level, keys: dict[str, str], fields: frozenset[str]) -> Iterator[Json]:
        find = {
            Level.PATIENT: self._searches.studies,
            Level.STUDY: self._searches.studies,
            Level.SERIES: self._searches.series,
            Level.IMAGE: self._searches.instances,
        }[level]
        seen: set[str] = set()
        offset, more = 0, True
        while more:
            search = Search(keys, fields, everything=False, limit=LARGEST_LIMIT, offset=offset, fuzzy=False)
            try:
                found = find(search)
            except WebFailure:
                raise IdentifierRefused from None
            except DBAPIError:
                raise ArchiveUnavailable from None
            for answer in found.answers:
                if level is Level.PATIENT:
                    patient = str(answer.get(_PATIENT_ID, {}).get("Value", [""])[0])
                    if patient in seen:
                        continue
                    seen.add(patient)
                yield answer
            offset, more = offset + len(found.answers), found.more

    def _identifier(self, level: Level, answer: Json, asked: dict[str, str]) -> Dataset:
        """The answer's attributes that were asked for, those of no value empty (PS3.4 C.4.1.1.3.2)."""
        wanted = {tag: value for tag, value in answer.items() if tag in asked and tag != _RETRIEVE_URL}
        made = Dataset.from_json(wanted)
        for tag in asked:
            if tag not in wanted and tag not in _NOT_KEYS and not tag.startswith("0000"):
                made.add_new(Tag(tag), _vr(tag), None)
        made.SpecificCharacterSet = "ISO_IR 192"
        made.QueryRetrieveLevel = level.value
        made.RetrieveAETitle = self._title
        made.InstanceAvailability = "ONLINE"
        return made

    def _record(self, shown: Sequence[Shown], caller: str) -> None:
        counts: dict[str, int] = {}
        for one in shown:
            counts[one.study] = counts.get(one.study, 0) + 1
        if not counts:
            return
        with self._database.writing() as session:
            for study, count in counts.items():
                audit.record(session, f"ae:{caller}", "retrieve-study", study, f"{count} instances", clock=self._clock)


def _keys(identifier: Dataset) -> dict[str, str]:
    """Keys by tag, values as one text; a sequence asks for nothing."""
    found = {}
    for element in identifier:
        tag = f"{element.tag:08X}"
        if tag in _NOT_KEYS:
            continue
        value = element.value
        if element.VR == "SQ" or value is None:
            found[tag] = ""
        elif element.VM > 1:
            found[tag] = "\\".join(str(part) for part in value)
        else:
            found[tag] = str(value).strip()
    return found


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split("\\") if part.strip()]


def _vr(tag: str) -> str:
    try:
        return dictionary_VR(Tag(tag)).split(" ")[0]
    except KeyError:
        return "UN"
