"""Whom a message is about: PID as a person and, where it says so, a death.

Source: HL7 2.5.1, 3.4.2 (PID), tables 0001 (sex), 0203 (identifier types), 0136 (yes or no).
"""

from __future__ import annotations

from collections.abc import Iterator

from wardround.node.records.hl7.conventions import Conventions, Identifier
from wardround.node.records.hl7.er7 import Field, Message, Segment
from wardround.node.records.hl7.moments import v2_moment
from wardround.node.records.hl7.values import NotTaken, birth, death, ethnicity, race
from wardround.node.records.hl7.vocabularies import FROM_RECORD
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, PersonIdentity, Rejected, Row, Value
from wardround.node.records.schema import FEMALE, MALE, NO_CONCEPT, OTHER_SEX

_SEX = {"M": MALE, "F": FEMALE, "O": OTHER_SEX, "A": OTHER_SEX}


def identified(message: Message, conventions: Conventions) -> PersonIdentity | None:
    """Whom PID-3 names by the hospital's own number; None where it can't be told."""
    pid = message.first("PID")
    return None if pid is None else conventions.person(_identifier(one) for one in pid.all(3))


def codes_in(field: Field, conventions: Conventions) -> tuple[Code, ...]:
    """The codes of a CE, CWE or CNE that are of known vocabularies: the identifier, and the alternate one."""
    made = (conventions.code(field[at + 2], field[at]) for at in (1, 4) if field[at])
    return tuple(code for code in made if code is not None)


def needed_codes(field: Field, conventions: Conventions) -> tuple[Code, ...]:
    """At least one code; raises NotTaken."""
    codes = codes_in(field, conventions)
    if not codes:
        raise NotTaken(Reason.BAD_CODE if field[1] or field[4] else Reason.NO_CODE)
    return codes


def person(message: Message, who: PersonIdentity, conventions: Conventions, where: str) -> Iterator[Row | Rejected]:
    """Rows of `person` and `death`."""
    pid = message.first("PID")
    if pid is None:
        return
    where = f"{where} PID"
    key = conventions.key(f"PID|{who.issuer}|{who.patient_id}")
    values: dict[str, Value] = {"gender_concept_id": _SEX.get(pid[8][1].upper(), NO_CONCEPT)}
    try:
        if pid[7]:
            values |= birth(v2_moment(pid[7][1]))
        for number, column, meant in ((10, "race_concept_id", race), (22, "ethnicity_concept_id", ethnicity)):
            codes = codes_in(pid[number], conventions)
            if codes:
                values[column] = meant(codes[0])
        yield Row("person", key, who, values, where)
        yield from _death(pid, key, who, where)
    except NotTaken as refused:
        yield refused.at(where)


def _death(pid: Segment, key: str, who: PersonIdentity, where: str) -> Iterator[Row]:
    if pid[29]:
        yield Row("death", key, who, death(v2_moment(pid[29][1]), FROM_RECORD), where)
    elif pid[30][1].upper() == "Y":
        raise NotTaken(Reason.NO_DATE, "of the death")
    elif pid[30][1].upper() == "N":
        yield Row("death", key, who, {}, where, removed=True)


def _identifier(field: Field) -> Identifier:
    authorities = tuple(name for name in (field.part(4, 1), field.part(4, 2)) if name)
    return Identifier(field[1], authorities, field[5].upper())
