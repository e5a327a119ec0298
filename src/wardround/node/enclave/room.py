"""How much room the enclave has: its quota, the disk's reserve, and the alarms that come before either is reached."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.node.enclave.tables import EnclaveInstance
from wardround.node.settings import EnclaveSettings

GIGABYTE = 10**9
OVER_QUOTA = "enclave-over-quota"
BELOW_RESERVE = "enclave-below-reserve"
NEAR_QUOTA = "enclave-near-quota"
NEAR_RESERVE = "enclave-near-reserve"

_LOOKED_AT_LEAST = timedelta(seconds=30)
_RESTS = 50


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that an engineer has to see. `stops`: nothing more is taken in for research until it is mended."""

    code: str
    text: str
    stops: bool


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes: of the enclave's objects, its quota (None: as much as the disk has), free on the disk, kept free there."""

    used: int
    quota: int | None
    free: int
    reserve: int
    alarms: tuple[Alarm, ...]

    @property
    def refusal(self) -> Alarm | None:
        """Why nothing more is taken in for research, or None."""
        return next((alarm for alarm in self.alarms if alarm.stops), None)


def used_bytes(session: Session) -> int:
    """Bytes of all objects that the index names; one that several rows name counts for each, since looking for those
    would take too long to be asked often."""
    return int(session.scalar(select(func.sum(EnclaveInstance.size))) or 0)


def room(session: Session, objects: Path, settings: EnclaveSettings) -> Room:
    """The room as it is now.

    Args:
        objects: the folder of the enclave's objects, there or not.
    """
    used, free = used_bytes(session), _free(objects)
    quota = None if settings.quota_gb is None else int(settings.quota_gb * GIGABYTE)
    reserve = int(settings.reserve_gb * GIGABYTE)
    alarms = [*_of_quota(used, quota, settings.warn_at), *_of_disk(free, reserve, settings.warn_at)]
    return Room(used, quota, free, reserve, tuple(alarms))


class RoomWatch:
    """The room for those who ask often: looked at twice a minute at most, and less often where that takes long.

    May be shared by threads.
    """

    def __init__(self, database: Database, objects: Path, settings: EnclaveSettings, *, clock: Clock = now) -> None:
        self._database = database
        self._objects = objects
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[datetime, Room] | None = None
        self._rest = _LOOKED_AT_LEAST

    def room(self) -> Room:
        with self._lock:
            at = self._clock()
            if self._seen is None or at - self._seen[0] >= self._rest:
                began = time.monotonic()
                with self._database.reading() as session:
                    self._seen = at, room(session, self._objects, self._settings)
                took = timedelta(seconds=time.monotonic() - began)
                self._rest = max(_LOOKED_AT_LEAST, _RESTS * took)
            return self._seen[1]

    def refusal(self) -> Alarm | None:
        """Why no instance is taken in for research now, or None."""
        return self.room().refusal


def _of_quota(used: int, quota: int | None, warn_at: float) -> list[Alarm]:
    if quota is None:
        return []
    told = f"the enclave holds {_gb(used)} of its quota of {_gb(quota)}"
    if used >= quota:
        mend = "raise [enclave] quota_gb in node.toml, or purge what is no longer needed; the PACS can send again then"
        return [Alarm(OVER_QUOTA, f"{told}: nothing more is taken in for research; {mend}", True)]
    if used >= warn_at * quota:
        return [Alarm(NEAR_QUOTA, f"{told}: from there on nothing more is taken in for research", False)]
    return []


def _of_disk(free: int, reserve: int, warn_at: float) -> list[Alarm]:
    told = f"{_gb(free)} are free on the enclave's disk, of which {_gb(reserve)} are kept free"
    if free < reserve:
        mend = "free space on it, or lower [enclave] reserve_gb in node.toml"
        return [Alarm(BELOW_RESERVE, f"{told}: nothing more is taken in for research; {mend}", True)]
    if warn_at and free < reserve / warn_at:
        return [Alarm(NEAR_RESERVE, f"{told}: below that nothing more is taken in for research", False)]
    return []


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _gb(count: int) -> str:
    return f"{count / GIGABYTE:,.2f} GB"
