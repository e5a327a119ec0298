"""Which studies changed: written in the very transaction that changed them, for the health records to follow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from wardround.node.enclave.tables import EnclaveChange

_AT_ONCE = 400


def note(session: Session, studies: Iterable[str]) -> None:
    """Note studies by their (new) UIDs, in the caller's transaction."""
    rows = [{"study_uid": uid} for uid in sorted(set(studies))]
    if rows:
        session.execute(insert(EnclaveChange), rows)


def changed(session: Session, most: int) -> Sequence[tuple[int, str]]:
    """The oldest changes: their numbers, each with its study."""
    columns = select(EnclaveChange.id, EnclaveChange.study_uid)
    return [(number, uid) for number, uid in session.execute(columns.order_by(EnclaveChange.id).limit(most))]


def followed(session: Session, numbers: Collection[int]) -> None:
    """Forget changes that were followed. Those that came meanwhile stay, whatever their numbers."""
    ordered = sorted(numbers)
    for start in range(0, len(ordered), _AT_ONCE):
        session.execute(delete(EnclaveChange).where(EnclaveChange.id.in_(ordered[start : start + _AT_ONCE])))


def forget_repeated(session: Session) -> None:
    """Keep of each study its newest change alone, which says all that the earlier ones do: while nobody follows, there
    are no more of them than studies that came."""
    newest = select(func.max(EnclaveChange.id)).group_by(EnclaveChange.study_uid)
    session.execute(delete(EnclaveChange).where(EnclaveChange.id.not_in(newest)))
