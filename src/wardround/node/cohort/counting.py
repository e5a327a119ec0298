"""Counts the people whom a question finds, and those of them who are in the secret third."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.task import Axis
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort.answering import Found
from wardround.node.cohort.meaning import age_band
from wardround.node.cohort.noise import PersonWords, Tally
from wardround.node.cohort.selection import people, selected
from wardround.node.enclave.tables import EnclavePatient, EnclaveSeries

_COLUMNS: dict[Axis, Any] = {
    "age": EnclaveSeries.age,
    "modality": EnclaveSeries.modality,
    "manufacturer": EnclaveSeries.manufacturer,
}


@dataclass(frozen=True, slots=True)
class EnclaveCounting:
    """Over the images in the enclave alone.

    A breakdown by age, modality or manufacturer goes by the images that the question uses: somebody with images of two
    groups is counted in both.
    """

    database: Database
    words: PersonWords

    def __call__(self, question: CohortQuestion, by: tuple[Axis, ...]) -> Found:
        """The people whom `question` finds, and their groups by each axis of `by`.

        Raises:
            NotAllowed: the question asks for health records (`no-records`), or for years (`no-years-here`).
        """
        if "year" in by:
            raise NotAllowed(
                "dates are shifted by years of each patient's own, so that a breakdown by year would tell nothing true",
                code="no-years-here",
            )
        with self.database.reading() as session:
            found = self.words.tally(session.scalars(people(question)))
            parts = {axis: self._groups(axis, session.execute(_by(question, axis)).all()) for axis in by}
        return Found(found, parts)

    def _groups(self, axis: Axis, rows: Any) -> dict[str, Tally]:
        groups: dict[str, set[str]] = {}
        for pseudonym, value in rows:
            if value is not None:
                groups.setdefault(age_band(value) if axis == "age" else str(value), set()).add(pseudonym)
        return {name: self.words.tally(members) for name, members in groups.items()}


def _by(question: CohortQuestion, axis: Axis) -> Select[*tuple[Any, ...]]:
    if axis == "sex":
        found = people(question).subquery()
        return select(EnclavePatient.pseudonym, EnclavePatient.sex).where(
            EnclavePatient.pseudonym.in_(select(found.c.pseudonym))
        )
    return select(EnclaveSeries.pseudonym, _COLUMNS[axis]).where(selected(question)).distinct()
