"""Tries, by their headers alone, whether the series of complete studies make volumes, so that it is known early.

What only the pixels tell is found when the volume is made. Series of modalities that are no volumes aren't tried.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pydicom
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from wardround.dicom.damage import DAMAGE
from wardround.dicom.volume import LEARNING, VolumeReason, VolumeRefused, check_volume
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.node.deidentify.openness import unready
from wardround.node.enclave.case import case_digest
from wardround.node.enclave.tables import EnclaveInstance, EnclaveSeries, EnclaveTrial, EnclaveUnusable

VOLUMES = ("CT", "MR", "PT")
SECONDS = 5.0
_UNREADABLE: tuple[type[Exception], ...] = (OSError, *DAMAGE)
_DEFERRED = 1024
"""Bytes of a value above which it stays on the disk until somebody asks for it."""


class Trials:
    """Tries each series once, and again when objects of it came since. For one thread."""

    def __init__(self, database: Database, objects: ObjectStore, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock

    def tick(self, seconds: float = SECONDS) -> int:
        """Try series for about so long; returns how many."""
        until = time.monotonic() + seconds
        tried = 0
        while waiting := self._next():
            series, digests = waiting
            reason = self._reason(digests)
            with self._database.writing() as session:
                self._note(session, series, digests, reason)
            tried += 1
            if time.monotonic() >= until:
                break
        return tried

    def _next(self) -> tuple[str, list[str]] | None:
        counted = (
            select(EnclaveInstance.series_uid, func.count().label("instances"))
            .group_by(EnclaveInstance.series_uid)
            .subquery()
        )
        query = (
            select(EnclaveSeries.uid)
            .join(counted, counted.c.series_uid == EnclaveSeries.uid)
            .outerjoin(EnclaveTrial, EnclaveTrial.series_uid == EnclaveSeries.uid)
            .where(
                EnclaveSeries.modality.in_(VOLUMES),
                EnclaveSeries.study_uid.not_in(unready()),
                EnclaveTrial.series_uid.is_(None) | (EnclaveTrial.instances != counted.c.instances),
            )
            .order_by(EnclaveSeries.uid)
            .limit(1)
        )
        with self._database.reading() as session:
            series = session.scalar(query)
            if series is None:
                return None
            objects = select(EnclaveInstance.digest).where(EnclaveInstance.series_uid == series)
            return series, list(session.scalars(objects))

    def _reason(self, digests: Sequence[str]) -> str | None:
        try:
            headers = [pydicom.dcmread(self._objects.path(digest), defer_size=_DEFERRED) for digest in digests]
            check_volume(headers, LEARNING)
        except VolumeRefused as refused:
            return refused.reason_code.value.replace("_", "-")
        except FileNotFoundError:
            return "object-missing"
        except _UNREADABLE:
            return VolumeReason.UNREADABLE.value
        return None

    def _note(self, session: Session, series: str, digests: Sequence[str], reason: str | None) -> None:
        if session.get(EnclaveSeries, series) is None:
            return  # purged meanwhile
        at = self._clock()
        session.execute(delete(EnclaveTrial).where(EnclaveTrial.series_uid == series))
        session.add(EnclaveTrial(series_uid=series, instances=len(digests), tried_at=at))
        known = session.get(EnclaveUnusable, series)
        if reason is not None and known is None:
            digest = case_digest(digests, None)
            session.add(EnclaveUnusable(series_uid=series, digest=digest, reason=reason, tried_at=at))
        elif known is not None and reason != known.reason and not known.reason.startswith("label-"):
            # It grew since: what was found wrong of fewer objects no longer holds.
            if reason is None:
                session.delete(known)
            else:
                known.reason, known.digest, known.tried_at = reason, case_digest(digests, None), at
