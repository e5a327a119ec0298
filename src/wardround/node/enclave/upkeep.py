"""What the running node does for its enclave by itself: finishes purges, tries series, says when room is short."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import select

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.node.enclave.purge import finish_purges
from wardround.node.enclave.room import RoomWatch
from wardround.node.enclave.tables import EnclaveRemoval
from wardround.node.enclave.trial import Trials

_log = logging.getLogger(__name__)


class Upkeep:
    """`tick` is one step of the node's loop.

    Args:
        volumes: the folder of the volumes for learning.
    """

    def __init__(self, database: Database, objects: ObjectStore, volumes: Path, watch: RoomWatch, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._volumes = volumes
        self._watch = watch
        self._clock = clock
        self._trials = Trials(database, objects, clock)
        self._told: frozenset[str] = frozenset()

    def tick(self) -> int:
        """Remove what purges have listed, try series that are new, and log alarms that are new; returns how many files
        went."""
        alarms = {alarm.code: alarm for alarm in self._watch.room().alarms}
        for code in sorted(alarms.keys() - self._told):
            _log.log(logging.ERROR if alarms[code].stops else logging.WARNING, "%s: %s", code, alarms[code].text)
        for code in sorted(self._told - alarms.keys()):
            _log.info("%s is over", code)
        self._told = frozenset(alarms)
        self._trials.tick()
        with self._database.reading() as session:
            if session.scalar(select(EnclaveRemoval.name).limit(1)) is None:
                return 0
        return finish_purges(self._database, self._objects, self._volumes, at=self._clock()).removed
