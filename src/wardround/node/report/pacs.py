"""Outputs go to the PACS, by C-STORE or over the web: a study's together, in the order in which they were made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from pydicom.errors import InvalidDicomError
from sqlalchemy import select

from wardround.contracts.stage import Audience
from wardround.dicom.errors import AssociationRefused, PeerUnreachable, Refused
from wardround.dicom.network import SendReport
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic.states import ReadingState, check_transition
from wardround.node.clinic.tables import WorklistLine
from wardround.node.report.document import DICOM
from wardround.node.report.sending import Due, Outbox
from wardround.node.report.states import OutputState
from wardround.node.report.tables import Output

_log = logging.getLogger(__name__)

Store = Callable[[Sequence[bytes]], SendReport]
"""Sends Part 10 files, and says what became of each. Raises `PeerUnreachable` or `AssociationRefused` where nothing is
taken now, `Refused` or `InvalidDicomError` where one is no such file."""

PACS_PAUSE = timedelta(seconds=5)
"""How long a PACS that didn't answer is left alone."""


class PacsDelivery:
    """`tick` sends what is due; a study's line of the worklist is delivered once nothing of it waits any more.

    A PACS that is away, or says that it has no room, is tried until it takes the outputs. One that refuses an object is
    offered it a few times; where it takes others of the same study, that study is delivered all the same.

    Args:
        store: the way there.
        audience: those who look there.
    """

    def __init__(
        self, database: Database, results: Path, store: Store, clock: Clock, audience: Audience = "ward"
    ) -> None:
        self._database = database
        self._outbox = Outbox(database, results, DICOM, clock, audience)
        self._store = store
        self._clock = clock
        self._away_until: datetime | None = None

    def tick(self) -> int:
        """Send what is due; returns of how many studies."""
        if self._away_until is not None and self._clock() < self._away_until:
            return 0
        steps = 0
        for _, group in groupby(self._outbox.due(), key=lambda one: one.line.id):
            outputs = list(group)
            if not self._send(outputs):
                break
            self._settle(outputs[0].line)
            steps += 1
        return steps

    def _send(self, outputs: Sequence[Due]) -> bool:
        """Send a study's outputs; False where the PACS doesn't answer now, so that nothing else needs trying."""
        ready = list(self._outbox.contents(outputs))
        if not ready:
            return True
        try:
            report = self._store([content for _, content in ready])
        except (PeerUnreachable, AssociationRefused):
            if self._away_until is None:
                _log.warning("results wait: the PACS doesn't take them now")
            self._away_until = self._clock() + PACS_PAUSE
            return False
        except (Refused, InvalidDicomError):
            for one, _ in ready:
                self._outbox.lost(one)
            return True
        self._away_until = None
        taken = set(report.accepted)
        statuses = {one.sop_instance_uid: one.status for one in report.refused}
        for one, _ in ready:
            if one.output.sop_instance in taken:
                self._outbox.end(one, OutputState.SENT)
                continue
            status = statuses.get(one.output.sop_instance)
            # 0xA7xx is want of room, and no status a connection that broke (PS3.4 B.2.3).
            for_good = status is not None and status >> 8 != 0xA7
            self._outbox.again(one, "pacs-refused" if for_good else "pacs-busy", refused=for_good)
        return True

    def _settle(self, line: WorklistLine) -> None:
        with self._database.writing() as session:
            row = session.get(WorklistLine, line.id)
            if row is None or row.state != ReadingState.READ:
                return
            kinds = [kind.value for kind in DICOM]
            outputs = list(session.scalars(select(Output).where(Output.line == line.id, Output.kind.in_(kinds))))
            if any(one.state == OutputState.WAITING for one in outputs):
                return
            arrived = any(one.state in (OutputState.SENT, OutputState.COMMITTED) for one in outputs)
            state = ReadingState.DELIVERED if arrived else ReadingState.FAILED
            check_transition(ReadingState(row.state), state)
            row.state = state
            if arrived:
                row.delivered_at = self._clock()
                audit.record(session, "program", "deliver-result", row.study, f"deployment {row.deployment}")
            else:
                row.reason = next(one.reason for one in outputs)
                audit.record(session, "program", "fail-study", row.study, row.reason)
