"""The PACS as a pull sees it: what answers to an ask, how much of it there is, and have it sent."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from wardround.dicom.network import Landing, Peer
from wardround.dicom.network_query import (
    FoundInstance,
    FoundSeries,
    FoundStudy,
    QueryRoot,
    instances_at,
    series_at,
    studies_at,
    verify,
)
from wardround.dicom.network_query_association import Stop
from wardround.dicom.network_retrieve import Retrieved, get, move
from wardround.node.retrieve.askable import StudyConditions, study_conditions
from wardround.node.retrieve.asks import Ask


@dataclass(frozen=True, slots=True)
class Pacs:
    """Where and how to ask.

    calling_ae: this node's title, from which it asks. landing: with it studies come by C-GET into it, without it by
    C-MOVE to the title that the pull's path has.
    """

    peer: Peer
    calling_ae: str
    root: QueryRoot = QueryRoot.ANY
    tls: ssl.SSLContext | None = None
    landing: Landing | None = None

    def answers(self) -> None:
        """Raises `PeerUnreachable` or `AssociationRefused` unless the PACS takes an association to be verified."""
        verify(self.peer, self.calling_ae, tls=self.tls)

    def find(self, ask: Ask, stop: Stop) -> list[FoundStudy]:
        """The studies that answer to `ask`; each once.

        Raises:
            PeerUnreachable, AssociationRefused, QueryFailed: see `wardround.dicom.network_query.studies_at`.
        """
        if ask.question is not None:
            found = list(self._answering(ask, study_conditions(ask.question), stop))
        else:
            found = studies_at(
                self.peer,
                self.calling_ae,
                study_uid=ask.study_uid,
                accession=ask.accession,
                patient_id=ask.patient_id,
                dates=ask.dates,
                modality=ask.modality,
                root=self.root,
                tls=self.tls,
                cancelled=stop,
            )
        return list({study.study_uid: study for study in found}.values())

    def count(self, study: FoundStudy, stop: Stop) -> int | None:
        """How many instances the PACS states for a study, asked level by level where it doesn't say at once."""
        if study.instances is not None:
            return study.instances
        total = 0
        for series in self._series(study, stop):
            if series.instances is not None:
                total += series.instances
            else:
                total += len(self._instances(study, series, stop))
        return total or None

    def send(self, study: FoundStudy, title: str, stop: Stop) -> Retrieved:
        """Have the study sent to `title`, one of this node's own.

        Raises:
            PeerUnreachable, AssociationRefused, QueryFailed: see `wardround.dicom.network_retrieve.move`.
        """
        uid, patient = study.study_uid, study.patient_id
        if self.landing is None:
            return move(
                self.peer,
                self.calling_ae,
                uid,
                title,
                patient_id=patient,
                root=self.root,
                tls=self.tls,
                cancelled=stop,
            )
        return get(
            self.peer,
            self.calling_ae,
            uid,
            self.landing,
            called_ae=title,
            sop_classes=study.sop_classes or self._classes(study, stop),
            patient_id=patient,
            root=self.root,
            tls=self.tls,
            cancelled=stop,
        )

    def _answering(self, ask: Ask, question: StudyConditions, stop: Stop) -> Iterator[FoundStudy]:
        """What a C-FIND can tell of a question: date, modality, sex and age by study, body part by series.

        A study of which the PACS doesn't say what is asked for isn't an answer.
        """
        for dates in ask.windows():
            for study in studies_at(
                self.peer,
                self.calling_ae,
                dates=dates,
                modality=question.modality,
                sex=question.sex,
                root=self.root,
                tls=self.tls,
                cancelled=stop,
            ):
                if _answers(study, question) and self._shows(study, question.body_part, stop):
                    yield study

    def _shows(self, study: FoundStudy, body_part: str | None, stop: Stop) -> bool:
        if body_part is None:
            return True
        return any(series.body_part.upper() == body_part for series in self._series(study, stop))

    def _classes(self, study: FoundStudy, stop: Stop) -> tuple[str, ...]:
        """The storage SOP classes of a study, where the PACS didn't say: by its instances."""
        classes: dict[str, None] = {}
        for series in self._series(study, stop):
            for instance in self._instances(study, series, stop):
                if instance.sop_class:
                    classes[instance.sop_class] = None
        return tuple(classes)

    def _series(self, study: FoundStudy, stop: Stop) -> list[FoundSeries]:
        return series_at(
            self.peer,
            self.calling_ae,
            study.study_uid,
            patient_id=study.patient_id,
            root=self.root,
            tls=self.tls,
            cancelled=stop,
        )

    def _instances(self, study: FoundStudy, series: FoundSeries, stop: Stop) -> list[FoundInstance]:
        return instances_at(
            self.peer,
            self.calling_ae,
            study.study_uid,
            series.series_uid,
            patient_id=study.patient_id,
            root=self.root,
            tls=self.tls,
            cancelled=stop,
        )


def _answers(study: FoundStudy, question: StudyConditions) -> bool:
    if question.sexes is not None and study.sex not in question.sexes:
        return False
    if question.modality is not None and question.modality not in study.modalities:
        return False
    if question.has_label is not None and ("SEG" in study.modalities) != question.has_label:
        return False
    if question.min_age is None and question.max_age is None:
        return True
    if study.birth_date is None or study.study_date is None:
        return False
    age = years_between(study.birth_date, study.study_date)
    return (question.min_age is None or age >= question.min_age) and (
        question.max_age is None or age <= question.max_age
    )


def years_between(birth: date, day: date) -> int:
    """Whole years from `birth` to `day`."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
