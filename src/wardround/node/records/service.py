"""The health records of a running node: they follow the enclave's images, and take HL7 v2 where that is enabled."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from wardround.foundation.clock import Clock
from wardround.foundation.loop import Loop
from wardround.node.deidentify.department import Department
from wardround.node.enclave.changes import forget_repeated
from wardround.node.home import NodeHome
from wardround.node.records.errors import RecordsBusy
from wardround.node.records.mllp.service import Mllp
from wardround.node.records.staging import tidy
from wardround.node.records.wiring import images_at, loader_at, records_at

log = logging.getLogger(__name__)

FOLLOWED_EVERY = 2.0
REPEATED_FORGOTTEN_EVERY = timedelta(hours=1)
MESSAGES = "mllp"
"""The source of what came over MLLP."""


class HealthRecords:
    """One of the node's parts that run beside its link.

    Raises:
        SettingsRefused, RecordsRefused: `[records.mllp]` can't be used.
    """

    def __init__(self, home: NodeHome, clock: Clock) -> None:
        self._department = Department(home, clock=clock)
        self._database, self._clock = home.database, clock
        self._repeated_forgotten = clock()
        self._records = records_at(home)
        self._images = images_at(home, self._department.secret)
        self._following = Loop("records", [self._follow], pause=FOLLOWED_EVERY)
        self.mllp: Mllp | None = None
        if home.settings.records.mllp.enabled:
            loader = loader_at(home, self._department, clock)
            load = partial(loader.load, source=MESSAGES, actor="program", in_order=True, continuous=True)
            self.mllp = Mllp(home, load, clock)

    def start(self) -> None:
        """Remove what killed loads left, then go on where they were."""
        tidy(self._records.staging)
        self._following.start()
        if self.mllp is not None:
            self.mllp.start()

    def stop(self) -> None:
        if self.mllp is not None:
            self.mllp.stop()
        self._following.stop()
        self._department.close()

    def _follow(self) -> None:
        if not self._records.exists():
            # Nobody asks of records that aren't there; the first load takes up all that changed until then.
            if self._clock() - self._repeated_forgotten >= REPEATED_FORGOTTEN_EVERY:
                self._repeated_forgotten = self._clock()
                with self._database.writing() as session:
                    forget_repeated(session)
            return
        try:
            self._images.tick()
        except RecordsBusy:
            log.info("the health records are in use; the enclave's changes wait")
