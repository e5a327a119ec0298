"""One round: who is in it, what is counted, what comes out. Bookkeeping without threads or clocks; the numbers are put
together in :mod:`wardround.federation.gathering`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wardround.contracts.robust import Robust
from wardround.federation.engine import (
    Refusal,
    RoundResult,
    RoundTask,
    RoundUpdate,
    SiteRound,
    UpdateHeader,
    UpdateRefused,
)
from wardround.federation.gathering import Gathering
from wardround.federation.spool import Spool
from wardround.foundation.stored import Held, digest_of
from wardround.learning.arrays import ArraysRefused

TOO_FAR = "too-far"


def in_words(missing: Mapping[str, str]) -> str:
    """Sites and why they are missing."""
    return ", ".join(f"{site} ({reason})" for site, reason in sorted(missing.items())) or "none"


@dataclass
class OpenRound:
    """A round that is open for updates. All times are those of the leg's clock.

    ``waiting``: sites that hold the round up. ``counting``: those whose update is being checked. ``out``: those that
    had their turn and gave nothing that counts, so that they aren't offered this round again.
    """

    task: RoundTask
    opened: float
    waiting: set[str]
    missing: dict[str, str]
    offered: dict[str, float] = field(default_factory=dict)
    done: dict[str, SiteRound] = field(default_factory=dict)
    counting: set[str] = field(default_factory=set)
    sent: dict[str, int] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    closed: bool = False
    robust: Robust | None = None
    spool: Spool = field(default_factory=Spool, repr=False)

    def __post_init__(self) -> None:
        delta = self.task.update_kind == "delta"
        self._gathering = Gathering(self.task.arrays, delta=delta, robust=self.robust, spool=self.spool)

    @property
    def number(self) -> int:
        """The turn that sites answer to (:attr:`RoundTask.turn`)."""
        return self.task.turn

    @property
    def admits(self) -> bool:
        """Whether what sites give here is an update, which the hub has to admit."""
        return True

    def bytes_down(self, site: str) -> int:
        """How much the site was sent; all that it was given, where nobody counts what is sent."""
        return self.sent.get(site, len(self.task.arrays))

    def task_for(self, site: str) -> RoundTask:
        return self.task

    def seconds(self, deadline: float) -> float:
        """How long sites may take, once all have it, where a round's deadline is so many seconds."""
        return deadline

    def offer(self, site: str, now: float) -> bool:
        """Let a site in, or in again, unless it had its turn or the round is closed."""
        if self.closed or site in self.done or site in self.counting or site in self.out:
            return False
        self.missing.pop(site, None)
        self.waiting.add(site)
        self.offered[site] = now
        return True

    def give_up(self, site: str, reason: str) -> None:
        """Stop waiting for a site; it may still deliver in time."""
        if site in self.waiting and site not in self.counting:
            self.waiting.discard(site)
            self.missing[site] = reason

    def pass_over(self, site: str, reason: str) -> None:
        """The site had its turn and gave nothing that counts."""
        self.counting.discard(site)
        self.waiting.discard(site)
        self.out.add(site)
        self.missing[site] = reason

    def header(self, site: str, update: RoundUpdate) -> UpdateHeader:
        """What the hub is asked to admit. Raises :class:`UpdateRefused`."""
        if not (math.isfinite(update.weight) and update.weight > 0):
            raise UpdateRefused("wrong-weight")
        if not all(math.isfinite(value) for value in update.metrics.values()):
            raise UpdateRefused("wrong-metrics")
        return UpdateHeader(
            run_id=self.task.run_id,
            leg_id=self.task.leg_id,
            round=self.task.round,
            site=site,
            ledger_index=update.ledger_index,
            digest=digest_of(update.update),
            weight=update.weight,
            metrics=update.metrics,
            steps=update.steps,
            bytes_up=len(update.update),
        )

    def sound_arrays(self, update: RoundUpdate) -> Any:
        """The update, of this model and finite; what :meth:`count` takes. Raises :class:`UpdateRefused`."""
        try:
            return self._gathering.sound(update.update)
        except ArraysRefused as error:
            raise UpdateRefused(error.reason) from error

    def leave_out_far(self, times: float) -> list[str]:
        """Count none that changes the model more than `times` as much as the middle one; the sites that sent them."""
        far = self._gathering.leave_out_far(times)
        for site in far:
            del self.done[site]
            self.pass_over(site, f"refused: {TOO_FAR}")
        return far

    def close(self) -> None:
        """Nothing of the round's updates is needed any more."""
        self._gathering.close()

    def count(self, header: UpdateHeader, arrays: Any, now: float) -> None:
        """Add an admitted update to the mean. Raises :class:`UpdateRefused`."""
        self.add(header, arrays)
        site = header.site
        self.counting.discard(site)
        self.waiting.discard(site)
        self.missing.pop(site, None)
        self.done[site] = SiteRound(
            site=site,
            weight=header.weight,
            metrics=header.metrics,
            ledger_index=header.ledger_index,
            steps=header.steps,
            digest=header.digest,
            bytes_up=header.bytes_up,
            bytes_down=self.bytes_down(site),
            seconds=now - self.offered.get(site, self.opened),
        )

    def add(self, header: UpdateHeader, arrays: Any) -> None:
        """Take what one site gave into what the round makes. Raises :class:`UpdateRefused`."""
        self._gathering.add(header.site, arrays, header.weight)

    @property
    def told_missing(self) -> str:
        """Who is missing and why, in words."""
        return in_words(self.missing)

    def aggregate(self) -> Held:
        """The model after this round: the mean of the updates, or the round's own model plus the mean of deltas.
        Raises `ArraysRefused`.
        """
        return self._gathering.aggregate()

    def result(self, model: Held, refused: Sequence[Refusal], now: float) -> RoundResult:
        return RoundResult(
            run_id=self.task.run_id,
            leg_id=self.task.leg_id,
            round=self.task.round,
            sites=tuple(self.done[site] for site in sorted(self.done)),
            missing=dict(sorted(self.missing.items())),
            refused=tuple(refused),
            seconds=now - self.opened,
            arrays=model,
        )
