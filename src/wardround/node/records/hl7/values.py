"""Values that FHIR and HL7 v2 say alike, as OMOP's columns; and what isn't taken."""

from __future__ import annotations

from wardround.node.records.hl7.moments import Moment
from wardround.node.records.hl7.vocabularies import OMOP_ETHNICITY, OMOP_RACE
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Rejected, Value


class NotTaken(Exception):
    """A record that isn't given. note: words of ours for people; removed: it takes back what was loaded under its
    key."""

    def __init__(self, reason: Reason, note: str = "", *, removed: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.note = note
        self.removed = removed

    def at(self, where: str) -> Rejected:
        """What a person is told of it."""
        return Rejected(self.reason, f"{where}: {self.note}" if self.note else where)


def dated(stem: str, moment: Moment) -> dict[str, Value]:
    """`STEM_date` and, where the time is known, `STEM_datetime`; raises NotTaken for a date in part."""
    day = moment.whole
    if day is None:
        raise NotTaken(Reason.BAD_DATE, "a date in part")
    values: dict[str, Value] = {f"{stem}_date": day}
    return values if moment.at is None else values | {f"{stem}_datetime": moment.at}


def birth(moment: Moment | None) -> dict[str, Value]:
    """The columns of a birth, of a date in part those that are known; raises NotTaken for what is no date."""
    if moment is None:
        raise NotTaken(Reason.BAD_DATE, "of the birth")
    if moment.whole is not None:
        return {"birth_datetime": moment.whole}
    values: dict[str, Value] = {"year_of_birth": moment.year}
    return values if moment.month is None else values | {"month_of_birth": moment.month}


def death(moment: Moment | None, known_from: int) -> dict[str, Value]:
    """The columns of a death, of a date in part the last day that it can be; raises NotTaken for what is no date."""
    if moment is None:
        raise NotTaken(Reason.BAD_DATE, "of the death")
    values: dict[str, Value] = {"death_date": moment.latest, "death_type_concept_id": known_from}
    return values if moment.at is None else values | {"death_datetime": moment.at}


def race(code: Code) -> tuple[Code, ...]:
    """A code of race and, of CDC's, the one that OMOP has for it."""
    omop = OMOP_RACE.get(code.code) if code.vocabulary == "CDCREC" else None
    return (code,) if omop is None else (code, Code("Race", omop))


def ethnicity(code: Code) -> tuple[Code, ...]:
    """A code of ethnicity and, of CDC's, the one that OMOP has for it."""
    omop = OMOP_ETHNICITY.get(code.code) if code.vocabulary == "CDCREC" else None
    return (code,) if omop is None else (code, Code("Ethnicity", omop))
