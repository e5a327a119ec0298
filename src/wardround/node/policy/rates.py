"""How much left in the last hour and the last day, as the egress log has it, and whether one message more may."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from wardround.foundation.database import Database
from wardround.node.gateway.egress import left_here
from wardround.node.gateway.tables import Egress
from wardround.node.policy.kinds import LIMITABLE
from wardround.node.policy.leaving import LeavingForbidden
from wardround.node.policy.rules import LeavingRules

HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
CARRIED_WITHIN = "run-update"
"""An update travels within the engine's traffic, whose bytes are counted: for all kinds together it isn't, twice."""
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Left:
    """One message that left, or may have."""

    number: int
    at: datetime
    kind: str
    size: int


class Rates:
    """Counts what leaves this node through whichever of its processes: each reads the log's new rows. Threads may share
    it, with the lock held from `check` until the message is in the log.
    """

    def __init__(self, database: Database) -> None:
        self.lock = threading.RLock()
        self._database = database
        self._left: deque[Left] = deque()
        self._upto: int | None = None

    def check(self, rules: LeavingRules, kind: str, size: int, at: datetime) -> None:
        """Whether a message of `kind`, `size` bytes in all, may leave now.

        Raises:
            LeavingForbidden: `over-rate`, which rule it would break.
        """
        with self.lock:
            for name, most, used in self._bounds(rules, kind, at):
                more = size if "bytes" in name else 1
                if used + more > most:
                    raise LeavingForbidden(
                        f"policy.toml, {name} = {most:,}: {used:,} left already, and {more:,} more would be too many",
                        code="over-rate",
                    )

    def room(self, rules: LeavingRules, kind: str, at: datetime) -> int | None:
        """How many bytes of `kind` may still leave now; None: no bound."""
        with self.lock:
            bounds = list(self._bounds(rules, kind, at))
        if any("messages" in name and used >= most for name, most, used in bounds):
            return 0
        return min((max(0, most - used) for name, most, used in bounds if "bytes" in name), default=None)

    def forget(self, number: int) -> None:
        """A message that was counted didn't leave after all."""
        with self.lock:
            self._left = deque(one for one in self._left if one.number != number)

    def _bounds(self, rules: LeavingRules, kind: str, at: datetime) -> Iterator[tuple[str, int, int]]:
        """Each bound that holds for `kind`: its key in policy.toml, the most, and what is used of it."""
        asked = [
            (f"{table}.{key}", most, span, of_kind)
            for table, rate, of_kind in (("leaving", rules, None), (f"leaving.kind.{kind}", rules.of(kind), kind))
            for key, span in _KEYS
            if (most := getattr(rate, key)) is not None
        ]
        if not asked:
            return
        self._catch_up(at)
        for name, most, span, of_kind in asked:
            yield name, most, self._used(name, at - span, of_kind)

    def _used(self, name: str, since: datetime, kind: str | None) -> int:
        used = 0
        for one in self._left:
            if one.at <= since or (kind is not None and one.kind != kind):
                continue
            if "messages" in name:
                used += 1
            elif kind is not None or one.kind != CARRIED_WITHIN:
                used += one.size
        return used

    def _catch_up(self, at: datetime) -> None:
        since = at - DAY
        if self._upto is None:
            self._read_day(since)
        asked = (
            select(Egress.id, Egress.at, Egress.kind, Egress.size)
            .where(Egress.id > (self._upto or 0), Egress.kind.in_(LIMITABLE), left_here())
            .order_by(Egress.id)
        )
        with self._database.reading() as session:
            for row in session.execute(asked):
                self._left.append(Left(*row))
                self._upto = row[0]
        while self._left and self._left[0].at <= since:
            self._left.popleft()

    def _read_day(self, since: datetime) -> None:
        """The log's rows of the last day, from the newest backwards: it may hold years."""
        found: list[Left] = []
        below: int | None = None
        newest = 0
        with self._database.reading() as session:
            while True:
                asked = select(Egress.id, Egress.at, Egress.kind, Egress.size, left_here())
                if below is not None:
                    asked = asked.where(Egress.id < below)
                rows = session.execute(asked.order_by(Egress.id.desc()).limit(BATCH)).all()
                found += [Left(*row[:4]) for row in rows if row[4] and row[2] in LIMITABLE and row[1] > since]
                newest = newest or (rows[0][0] if rows else 0)
                if len(rows) < BATCH or max(row[1] for row in rows) <= since:
                    break
                below = rows[-1][0]
        self._left = deque(reversed(found))
        self._upto = newest


_KEYS = (
    ("messages_per_hour", HOUR),
    ("messages_per_day", DAY),
    ("bytes_per_hour", HOUR),
    ("bytes_per_day", DAY),
)
