"""QIDO-RS: search for studies, series and instances (PS3.18 10.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from wardround.foundation.database import Database
from wardround.node.dicomweb.catalogue import numbers, shown, visible
from wardround.node.dicomweb.failure import bad_request
from wardround.node.dicomweb.header import INSTANCE, SERIES, STUDY, Json, tags
from wardround.node.dicomweb.matching import Search, matches
from wardround.node.dicomweb.tables import WebInstance, WebSeries, WebStudy
from wardround.node.enclave.tables import EnclaveStudy

_STUDY_UID, _SERIES_UID, _SOP_UID = tags("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_PATIENT_ID, _DATE, _MODALITY, _MODALITIES = tags("PatientID", "StudyDate", "Modality", "ModalitiesInStudy")
_STUDY_SERIES, _STUDY_INSTANCES, _SERIES_INSTANCES = tags(
    "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances"
)
_RETRIEVE, _AVAILABLE, _CHARSET = tags("RetrieveURL", "InstanceAvailability", "SpecificCharacterSet")
# What is returned unasked (PS3.18 Tables 10.6.3-3 to 10.6.3-5).
_STUDY_ALWAYS = tags(
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
)
_SERIES_ALWAYS = tags(
    "Modality",
    "TimezoneOffsetFromUTC",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "RequestAttributesSequence",
)
_INSTANCE_ALWAYS = tags(
    "SOPClassUID",
    "SOPInstanceUID",
    "TimezoneOffsetFromUTC",
    "InstanceNumber",
    "Rows",
    "Columns",
    "BitsAllocated",
    "NumberOfFrames",
)
Link = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found; `more` says that it was cut at the limit."""

    answers: list[Json]
    more: bool


class Searches:
    """Searches of the enclave; `link` makes an address of a path below the service's own."""

    def __init__(self, database: Database, link: Link) -> None:
        self._database = database
        self._link = link

    def studies(self, search: Search) -> Found:
        """All studies that meet the search, the newest first.

        Raises:
            WebFailure: 400, a key that studies have no attribute for.
        """
        _check(search, {*STUDY, _MODALITIES})
        query = select(WebStudy).join(EnclaveStudy, EnclaveStudy.uid == WebStudy.uid).where(*visible())
        query = _narrowed(query, search).order_by(WebStudy.date.desc(), WebStudy.uid)
        if (modalities := search.keys.get(_MODALITIES)) is not None and not set(modalities) & set("*?"):
            query = query.where(
                exists().where(WebSeries.study_uid == WebStudy.uid, WebSeries.modality.in_(_list(modalities)))
            )
        with self._database.reading() as session:
            found, more = _page(session, query, search, _study_attributes, skip={_MODALITIES})
            uids = [study.uid for study in found]
            counts = numbers(session, WebInstance.study_uid, uids)
            modes = _modalities(session, uids)
        answers = []
        for study in found:
            series, instances = counts.get(study.uid, (0, 0))
            answer = _chosen(study.attributes, _STUDY_ALWAYS, search) | self._common(f"studies/{study.uid}")
            answer[_MODALITIES] = {"vr": "CS", "Value": modes.get(study.uid, [])}
            answer[_STUDY_SERIES] = {"vr": "IS", "Value": [series]}
            answer[_STUDY_INSTANCES] = {"vr": "IS", "Value": [instances]}
            answer[_STUDY_UID] = {"vr": "UI", "Value": [study.uid]}
            answers.append(dict(sorted(answer.items())))
        return Found(answers, more)

    def series(self, search: Search, study: str | None = None) -> Found:
        """All series that meet the search, of one study if it is named.

        Raises:
            WebFailure: 400, a key that series have no attribute for.
        """
        _check(search, {*STUDY, *SERIES, _MODALITIES})
        query = (
            select(WebSeries, WebStudy)
            .join(WebStudy, WebStudy.uid == WebSeries.study_uid)
            .join(EnclaveStudy, EnclaveStudy.uid == WebStudy.uid)
            .where(*visible())
        )
        if study is not None:
            query = query.where(WebSeries.study_uid == study)
        query = _narrowed(query, search, series=True).order_by(WebSeries.study_uid, WebSeries.uid)
        with self._database.reading() as session:
            found, more = _page(session, query, search, _series_attributes, skip={_MODALITIES})
            counts = numbers(session, WebInstance.series_uid, [series.uid for series, _ in found])
        answers = []
        for series, parent in found:
            wanted = search if study is not None else _with(search, _STUDY_ALWAYS)
            attributes = parent.attributes | series.attributes
            answer = _chosen(attributes, _SERIES_ALWAYS, wanted)
            answer |= self._common(f"studies/{series.study_uid}/series/{series.uid}")
            answer[_SERIES_INSTANCES] = {"vr": "IS", "Value": [counts.get(series.uid, (0, 0))[1]]}
            answer[_STUDY_UID] = {"vr": "UI", "Value": [series.study_uid]}
            answer[_SERIES_UID] = {"vr": "UI", "Value": [series.uid]}
            answers.append(dict(sorted(answer.items())))
        return Found(answers, more)

    def instances(self, search: Search, study: str | None = None, series: str | None = None) -> Found:
        """All instances that meet the search, of one study or series if it is named.

        Raises:
            WebFailure: 400, a key that instances have no attribute for.
        """
        _check(search, {*STUDY, *SERIES, *INSTANCE})
        query = shown(
            select(WebInstance, WebSeries, WebStudy)
            .join(WebSeries, WebSeries.uid == WebInstance.series_uid)
            .join(WebStudy, WebStudy.uid == WebInstance.study_uid)
        )
        if study is not None:
            query = query.where(WebInstance.study_uid == study)
        if series is not None:
            query = query.where(WebInstance.series_uid == series)
        query = _narrowed(query, search, series=True, instance=True)
        query = query.order_by(WebInstance.study_uid, WebInstance.series_uid, WebInstance.number, WebInstance.uid)
        with self._database.reading() as session:
            found, more = _page(session, query, search, _instance_attributes)
        wanted = _with(search, () if study else _STUDY_ALWAYS)
        wanted = _with(wanted, () if series else _SERIES_ALWAYS)
        answers = []
        for instance, above, parent in found:
            attributes = parent.attributes | above.attributes | instance.attributes
            answer = _chosen(attributes, _INSTANCE_ALWAYS, wanted)
            place = f"studies/{instance.study_uid}/series/{instance.series_uid}/instances/{instance.uid}"
            answer |= self._common(place)
            answer[_STUDY_UID] = {"vr": "UI", "Value": [instance.study_uid]}
            answer[_SERIES_UID] = {"vr": "UI", "Value": [instance.series_uid]}
            answer[_SOP_UID] = {"vr": "UI", "Value": [instance.uid]}
            answers.append(dict(sorted(answer.items())))
        return Found(answers, more)

    def _common(self, place: str) -> Json:
        return {
            _CHARSET: {"vr": "CS", "Value": ["ISO_IR 192"]},
            _AVAILABLE: {"vr": "CS", "Value": ["ONLINE"]},
            _RETRIEVE: {"vr": "UR", "Value": [self._link(place)]},
        }


def _check(search: Search, known: set[str]) -> None:
    if set(search.keys) - known:
        raise bad_request("the query asks for an attribute that can't be searched for at this level")


def _narrowed(
    query: Select[*tuple[Any, ...]], search: Search, *, series: bool = False, instance: bool = False
) -> Select[*tuple[Any, ...]]:
    """`query` with the conditions that an index answers; `_page` looks at the rest and at these again."""
    for tag, column in ((_STUDY_UID, WebStudy.uid), (_SERIES_UID, WebSeries.uid), (_SOP_UID, WebInstance.uid)):
        if tag in search.keys and (
            tag == _STUDY_UID or (series and tag == _SERIES_UID) or (instance and tag == _SOP_UID)
        ):
            query = query.where(column.in_(_list(search.keys[tag])))
    patient = search.keys.get(_PATIENT_ID)
    if patient is not None and not set(patient) & set("*?"):
        query = query.where(WebStudy.patient_id == patient[:64])
    dates = search.keys.get(_DATE)
    if dates is not None:
        first, dash, last = dates.partition("-")
        if not dash:
            query = query.where(WebStudy.date == dates)
        if dash and first:
            query = query.where(WebStudy.date >= first)
        if dash and last:
            query = query.where(WebStudy.date <= last)
    modality = search.keys.get(_MODALITY)
    if series and modality is not None and not set(modality) & set("*?"):
        query = query.where(WebSeries.modality == modality)
    return query


def _page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    search: Search,
    attributes: Callable[[Any], Json],
    *,
    skip: set[str] | None = None,
) -> tuple[list[Any], bool]:
    """The rows that meet every key, from the offset on, as many as the limit; and whether there are more."""
    keys = {tag: value for tag, value in search.keys.items() if tag not in (skip or set())}

    def meets(one: Any) -> bool:
        held = attributes(one)
        return all(matches(held.get(tag), value, tag) for tag, value in keys.items())

    rows = session.execute(query.execution_options(yield_per=500))
    return search.page(one for row in rows if meets(one := row[0] if len(row) == 1 else row))


def _study_attributes(row: WebStudy) -> Json:
    return row.attributes | {_STUDY_UID: {"vr": "UI", "Value": [row.uid]}}


def _series_attributes(row: Any) -> Json:
    series, study = row
    own: Json = series.attributes
    return _study_attributes(study) | own | {_SERIES_UID: {"vr": "UI", "Value": [series.uid]}}


def _instance_attributes(row: Any) -> Json:
    instance, series, study = row
    own: Json = instance.attributes
    return _series_attributes((series, study)) | own | {_SOP_UID: {"vr": "UI", "Value": [instance.uid]}}


def _chosen(attributes: Json, always: Sequence[str], search: Search) -> Json:
    """The attributes that are returned unasked, or asked for, or searched by; empty where the object has no value."""
    wanted = {*always, *search.fields, *search.keys} | (set(attributes) if search.everything else set())
    return {tag: attributes[tag] for tag in wanted if tag in attributes}


def _with(search: Search, more: Sequence[str]) -> Search:
    return Search(search.keys, search.fields | set(more), search.everything, search.limit, search.offset, search.fuzzy)


def _modalities(session: Session, studies: Sequence[str]) -> dict[str, list[str]]:
    query = select(WebSeries.study_uid, WebSeries.modality).where(WebSeries.study_uid.in_(studies)).distinct()
    found: dict[str, list[str]] = {}
    for study, modality in session.execute(query.order_by(WebSeries.modality)):
        found.setdefault(study, []).append(modality)
    return found


def _list(value: str) -> list[str]:
    return [part for part in value.replace("\\", ",").split(",") if part]
