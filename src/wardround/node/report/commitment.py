"""The PACS is asked to commit itself to keeping each output, and is sent it again until it has (PS3.4 Annex J)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from wardround.contracts.stage import STAGES, Audience
from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network import CommitmentReport, Peer, ask_commitment
from wardround.dicom.source_header import made_uid
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic.tables import WorklistLine
from wardround.node.report.document import DICOM
from wardround.node.report.sending import pause_after
from wardround.node.report.states import OutputState, check_transition
from wardround.node.report.tables import Output

_log = logging.getLogger(__name__)

MOST_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """Whom to ask, from which AE title, and after how long an output counts as not committed. audience: whose outputs
    went there, by the stage that they were read at."""

    pacs: Peer
    calling_ae: str
    within: timedelta
    tls: ssl.SSLContext | None = None
    audience: Audience = "ward"


class Commitments:
    """`tick` asks for what was sent, and has sent again what wasn't committed in time; `taken` hears reports.

    An output is committed only by a report on the latest request for it that names it as done. Whatever else happens
    (no answer, a refusal, a report that it failed, a restart), it is sent and asked for again, ever more seldom.
    """

    def __init__(self, database: Database, terms: Terms, clock: Clock) -> None:
        self._database = database
        self._terms = terms
        self._clock = clock
        self._stages = [name for name, stage in STAGES.items() if stage.results == terms.audience]

    def tick(self) -> int:
        """Returns for how many outputs a step was taken."""
        return self._give_up_waiting() + self._ask()

    def taken(self, report: CommitmentReport) -> None:
        """Note what the PACS says. One that nothing here waits for changes nothing.

        Raises:
            OSError: it can't be noted; the PACS has to say it again.
        """
        done = {instance for _, instance in report.done}
        failed = {instance for _, instance, _ in report.failed}
        try:
            with self._database.writing() as session:
                asked = select(Output).where(
                    Output.transaction_uid == report.transaction_uid, Output.state == OutputState.SENT.value
                )
                for row in session.scalars(asked).all():
                    if row.sop_instance in failed:
                        self._again(session, row, "commitment-failed")
                    elif row.sop_instance in done:
                        check_transition(OutputState(row.state), OutputState.COMMITTED)
                        row.state, row.committed_at = OutputState.COMMITTED, self._clock()
                        row.transaction_uid, row.reason = None, ""
                        self._told(session, row, "committed")
        except (DBAPIError, PoolExhausted) as error:
            raise OSError(f"the index does not answer: {type(error).__name__}") from None

    def _ask(self) -> int:
        transaction = made_uid()
        now = self._clock()
        with self._database.writing() as session:
            rows = self._sent(session, Output.transaction_uid.is_(None))
            for row in rows:
                # Before it is asked for, since the report may come on another thread before the answer does.
                row.transaction_uid, row.due_at = transaction, now + self._terms.within
            instances = [(row.sop_class, row.sop_instance) for row in rows]
        if not instances:
            return 0
        terms = self._terms
        try:
            report = ask_commitment(terms.pacs, terms.calling_ae, transaction, instances, tls=terms.tls)
        except (PeerUnreachable, AssociationRefused) as error:
            _log.info("storage commitment is asked for again later: %s", type(error).__name__)
            with self._database.writing() as session:
                waiting = select(Output).where(Output.transaction_uid == transaction)
                for row in session.scalars(waiting).all():
                    row.transaction_uid, row.due_at = None, now + pause_after(row.attempts)
                    row.attempts += 1
            return 0
        if report is not None:
            self.taken(report)
        return len(instances)

    def _give_up_waiting(self) -> int:
        with self._database.writing() as session:
            late = self._sent(session, Output.transaction_uid.is_not(None))
            for row in late:
                self._again(session, row, "commitment-late")
            return len(late)

    def _sent(self, session: Session, which: ColumnElement[bool]) -> Sequence[Output]:
        asked = (
            select(Output)
            .where(
                Output.state == OutputState.SENT.value,
                Output.kind.in_([kind.value for kind in DICOM]),
                Output.due_at <= self._clock(),
                Output.file.is_not(None),
                Output.line.in_(select(WorklistLine.id).where(WorklistLine.read_as.in_(self._stages))),
                which,
            )
            .order_by(Output.id)
            .limit(MOST_AT_ONCE)
        )
        return session.scalars(asked).all()

    def _again(self, session: Session, row: Output, reason: str) -> None:
        """Have it sent once more."""
        check_transition(OutputState(row.state), OutputState.WAITING)
        row.state, row.reason, row.transaction_uid = OutputState.WAITING, reason, None
        row.due_at = self._clock() + pause_after(row.attempts)
        row.attempts += 1
        self._told(session, row, reason)

    def _told(self, session: Session, row: Output, detail: str) -> None:
        study = session.get_one(WorklistLine, row.line).study
        audit.record(session, "program", "commit-output", study, f"{row.kind} {detail}", clock=self._clock)
