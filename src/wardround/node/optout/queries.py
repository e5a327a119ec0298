"""Reads: whom the research side must leave out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from wardround.node.enclave.tables import EnclavePatient
from wardround.node.optout.register import REASON
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.receive.tables import ReceivedInstance

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Addition:
    """How many identifiers of one kind somebody added at once."""

    at: datetime
    by: str
    kind: str
    count: int


def excluded() -> Select[str]:
    """The pseudonyms of those in the enclave who opted out, for `column.not_in(excluded())`.

    It joins what is on the list now with who is there now: a new opt-out counts in the very next query, and one that
    was taken back no longer does.
    """
    return excluded_keys().distinct()


def excluded_keys() -> Select[str]:
    """As `excluded`, with whoever opted out by several identifiers there as often: cheaper for who wants them all."""
    return select(PatientKey.pseudonym).join(OptOut, OptOut.key == PatientKey.key)


def opted_out_of(session: Session, pseudonyms: Iterable[str]) -> set[str]:
    """Which of these people opted out by any of their identifiers."""
    asked, out = sorted(set(pseudonyms)), set[str]()
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        out |= set(session.scalars(excluded_keys().where(PatientKey.pseudonym.in_(part))))
    return out


def counts(session: Session) -> dict[str, int]:
    """How many identifiers opted out, by kind."""
    return dict(session.execute(select(OptOut.kind, func.count()).group_by(OptOut.kind).order_by(OptOut.kind)).all())


def excluded_count(session: Session) -> int:
    """How many patients in the enclave are left out for an opt-out."""
    here = select(func.count()).select_from(EnclavePatient).where(EnclavePatient.pseudonym.in_(excluded()))
    return session.scalar(here) or 0


def refused_count(session: Session) -> int:
    """How many instances were refused on arrival for an opt-out."""
    return (
        session.scalar(select(func.count()).select_from(ReceivedInstance).where(ReceivedInstance.reason == REASON)) or 0
    )


def additions(session: Session) -> list[Addition]:
    """What was added, oldest first."""
    columns = (OptOut.added_at, OptOut.added_by, OptOut.kind)
    query = select(*columns, func.count()).group_by(*columns).order_by(*columns)
    return [Addition(at, by, kind, number) for at, by, kind, number in session.execute(query)]
