"""Which series could not be used for learning, and why: kept until they can be, shown by cause."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from wardround.foundation.database import Database
from wardround.node.deidentify.openness import unready
from wardround.node.enclave.case import CaseRef
from wardround.node.enclave.tables import EnclaveSeries, EnclaveUnusable
from wardround.node.optout.queries import excluded


def unusable(session: Session) -> Mapping[str, int]:
    """Series in the enclave that gave no volume when one was last asked for, by reason code.

    Series of those who opted out, and of studies that are still coming in, aren't counted.
    """
    query = (
        select(EnclaveUnusable.reason, func.count())
        .join(EnclaveSeries, EnclaveSeries.uid == EnclaveUnusable.series_uid)
        .where(EnclaveSeries.pseudonym.not_in(excluded()), EnclaveSeries.study_uid.not_in(unready()))
        .group_by(EnclaveUnusable.reason)
        .order_by(EnclaveUnusable.reason)
    )
    return dict(session.execute(query).all())


def note(database: Database, ref: CaseRef, reason: str | None, at: datetime) -> None:
    """Keep that a case gave no volume, or with no reason that it gave one."""
    with database.reading() as session:
        kept = session.get(EnclaveUnusable, ref.series)
        told = None if kept is None else (kept.digest, kept.reason)
    if told == (None if reason is None else (ref.digest, reason)):
        return
    with database.writing() as session:
        if session.get(EnclaveSeries, ref.series) is None:
            return  # purged meanwhile
        session.execute(delete(EnclaveUnusable).where(EnclaveUnusable.series_uid == ref.series))
        if reason is not None:
            session.add(EnclaveUnusable(series_uid=ref.series, digest=ref.digest, reason=reason[:64], tried_at=at))
