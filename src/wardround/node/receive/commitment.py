"""Storage commitment (PS3.4 Annex J): the node says for which instances it answers, at once or later.

The answer goes out over the association of the request. Where the requestor doesn't take it there, as when it hangs up
first, it is sent to where `[[dicom.peers]]` says that the requestor listens, again and again for some hours; what is
told then is what holds then. A restart forgets none.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network import report_commitment
from wardround.dicom.network_messages import CommitmentReport, CommitmentRequest, Peer
from wardround.foundation.clock import Clock
from wardround.node.receive.commitment_holdings import Holdings
from wardround.node.receive.commitment_store import CommitmentState, CommitmentStore, RequestUnreadable, Waiting

log = logging.getLogger(__name__)

SETTLING = 10.0
"""Seconds that an answer waits for the index to have what has landed."""
UNANSWERED = timedelta(seconds=60)
"""After how long an answer counts as lost whose association said nothing of it, or ended with this program."""
FORGOTTEN = timedelta(hours=1)
KEPT = timedelta(days=30)
"""How long it is kept that a request was answered or given up."""
_PRUNED_EVERY = timedelta(hours=1)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
MOST_ATTEMPTS = 16
"""About nine hours."""


@dataclass(frozen=True, slots=True)
class ReportTo:
    """Where reports to a requestor go, and over TLS if `tls` is given."""

    peer: Peer
    tls: ssl.SSLContext | None = None


class CommitmentDesk:
    """Answers requests; a `wardround.dicom.network.Commitments`, called from many threads.

    Args:
        settle: waits until the index has what has landed, for so many seconds at most (`Reception.settle`).
        requestors: where those listen that may ask, by AE title.
        wake: called when there is something for `tick` to do.
    """

    def __init__(
        self,
        store: CommitmentStore,
        holdings: Holdings,
        *,
        settle: Callable[[float], bool],
        requestors: Mapping[str, ReportTo],
        clock: Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._settle = settle
        self._requestors = requestors
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._answering: dict[int, tuple[CommitmentRequest, int, int, datetime]] = {}
        self._pruned_at: datetime | None = None

    def mend(self) -> None:
        """Tidy up after a crash, before anybody can ask."""
        self._store.tidy()

    def request(self, request: CommitmentRequest) -> CommitmentReport:
        """The answer as things stand. What was asked is kept until the answer is delivered.

        Raises:
            OSError: the disk or the index doesn't take it.
        """
        at = self._clock()
        try:
            report = self._report(request)
            number = self._store.add(request, at, due=at + UNANSWERED)
        except (DBAPIError, PoolExhausted) as error:
            raise OSError(f"the index does not answer: {type(error).__name__}") from None
        with self._lock:
            # By identity: a requestor may ask the same twice.
            self._answering[id(request)] = request, number, len(report.failed), at
        return report

    def delivered(self, request: CommitmentRequest, *, taken: bool) -> None:
        """The association's word for it. What wasn't taken is due now."""
        with self._lock:
            answering = self._answering.pop(id(request), None)
        if answering is None:
            return
        _, number, failed, _ = answering
        try:
            if taken:
                self._store.finish(number, CommitmentState.DELIVERED, self._clock(), failed=failed)
            else:
                self._store.postpone(number, self._clock(), failed_attempt=False)
        except (DBAPIError, PoolExhausted, OSError) as error:
            # It stays due, so that the requestor hears it once more at worst.
            log.error("how a storage commitment ended can't be noted: %s", type(error).__name__)
        if not taken:
            self._wake()

    def tick(self, *, stopping: Callable[[], bool] = lambda: False) -> None:
        """Send the answers that are due, and delete rows that ended long ago. For one thread; may take minutes where
        a peer is silent.

        Raises:
            DBAPIError, sqlalchemy.exc.TimeoutError: the index doesn't answer.
        """
        with self._lock:
            limit = self._clock() - FORGOTTEN
            self._answering = {key: one for key, one in self._answering.items() if one[3] > limit}
        now = self._clock()
        if self._pruned_at is None or now - self._pruned_at >= _PRUNED_EVERY:
            self._store.prune(now - KEPT)
            self._pruned_at = now
        silent: dict[str, str] = {}
        for waiting in self._store.due(self._clock()):
            if stopping():
                return
            title = waiting.calling_title
            to = self._requestors.get(title)
            if to is None:
                self._give_up(waiting, "no-peer")
                continue
            if title not in silent:
                reason = self._send(waiting, to)
                if reason is None:
                    continue
                silent[title] = reason
            self._failed(waiting, silent[title])

    def _send(self, waiting: Waiting, to: ReportTo) -> str | None:
        """Deliver one answer; returns why not."""
        try:
            request = self._store.request(waiting)
        except RequestUnreadable:
            self._give_up(waiting, "unreadable")
            return None
        report = self._report(request)
        try:
            report_commitment(to.peer, waiting.called_title, report, tls=to.tls)
        except PeerUnreachable:
            return "peer-unreachable"
        except AssociationRefused:
            return "peer-refused"
        self._store.finish(waiting.id, CommitmentState.DELIVERED, self._clock(), failed=len(report.failed))
        return None

    def _failed(self, waiting: Waiting, reason: str) -> None:
        if waiting.attempts + 1 >= MOST_ATTEMPTS:
            self._give_up(waiting, reason)
            return
        pause = min(FIRST_PAUSE * 2**waiting.attempts, LONGEST_PAUSE)
        self._store.postpone(waiting.id, self._clock() + pause, failed_attempt=True)

    def _give_up(self, waiting: Waiting, reason: str) -> None:
        log.warning("an answer about storage commitment is given up: %s", reason)
        self._store.finish(waiting.id, CommitmentState.GIVEN_UP, self._clock(), reason=reason)

    def _report(self, request: CommitmentRequest) -> CommitmentReport:
        """What landed before the request came may not be in the index yet: only a yes is believed at once.

        The index writes in the order of arrival, so that others who go on sending don't hold this up for long.
        """
        report = self._holdings.report(request)
        deadline = time.monotonic() + SETTLING
        while report.failed and time.monotonic() < deadline:
            settled = self._settle(0.5)
            report = self._holdings.report(request)
            if settled:
                break
        return report
