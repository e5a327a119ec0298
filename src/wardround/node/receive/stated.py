"""Asks the PACS how many instances a study has that has just gone quiet, so that nobody waits longer than needed.

The index holds no identifier, so a study can be asked for only as long as this process remembers its Study Instance
UID from when it landed. Where it doesn't, or the PACS doesn't say, the quiet time decides.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select, update

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network_query_status import KeyRefused, QueryFailed
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.receive.register import NO_PATH
from wardround.node.receive.tables import ReceivedStudy

log = logging.getLogger(__name__)

MOST_REMEMBERED = 10_000
FRACTION = 0.1
"""Of the quiet time, after which the PACS is asked; at least a second, which a sender may pause."""
REST = timedelta(seconds=60)
"""After which a PACS that didn't answer is asked again."""

Ask = Callable[[str], int | None]
"""How many instances the PACS states for a Study Instance UID; None where it doesn't say. It has to end by itself."""


class StatedCounts:
    """Finds out how many instances the open studies have. `note` from any thread, `tick` from one.

    Args:
        learnt: called when a study's count became known.
    """

    def __init__(
        self, database: Database, ask: Ask, *, quiet: timedelta, clock: Clock, learnt: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._ask = ask
        self._after = min(max(FRACTION * quiet, timedelta(seconds=1)), quiet / 2)
        self._clock = clock
        self._learnt = learnt
        self._lock = threading.Lock()
        self._uids: OrderedDict[str, str] = OrderedDict()
        self._asked: dict[str, datetime] = {}
        self._resting: datetime | None = None

    def note(self, study_key: str, study_uid: str) -> None:
        """Remember which study a key stands for."""
        with self._lock:
            self._uids[study_key] = study_uid
            self._uids.move_to_end(study_key)
            if len(self._uids) > MOST_REMEMBERED:
                self._uids.popitem(last=False)

    def tick(self, *, stopping: Callable[[], bool] = lambda: False) -> None:
        """Ask for each study that has gone quiet, once each time that it does."""
        at = self._clock()
        if self._resting is not None and at < self._resting:
            return
        for key, last_at in self._quiet_ones(at):
            if stopping():
                return
            uid = self._uids.get(key)
            if uid is None or self._asked.get(key) == last_at:
                continue
            self._asked[key] = last_at
            try:
                count = self._ask(uid)
            except KeyRefused:
                continue
            except (PeerUnreachable, AssociationRefused, QueryFailed) as error:
                log.warning("the PACS doesn't say how many instances a study has: %s", type(error).__name__)
                self._resting = self._clock() + REST
                return
            if count:
                self._state(key, count)
                self._learnt()

    def _quiet_ones(self, at: datetime) -> list[tuple[str, datetime]]:
        """The keys of open studies that have been quiet for a while, the one that waits longest first."""
        study = ReceivedStudy
        quiet = (study.completed_at.is_(None), study.path != NO_PATH, study.last_at <= at - self._after)
        with self._database.reading() as session:
            rows = session.execute(select(study.study_key, study.last_at).where(*quiet).order_by(study.last_at))
            last = dict(rows.all())
        self._asked = {key: asked for key, asked in self._asked.items() if key in last}
        return list(last.items())

    def _state(self, key: str, count: int) -> None:
        with self._database.writing() as session:
            session.execute(
                update(ReceivedStudy)
                .where(ReceivedStudy.study_key == key, ReceivedStudy.path != NO_PATH)
                .values(stated=count)
                .execution_options(synchronize_session=False)
            )
