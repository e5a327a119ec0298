"""The mechanics of a leg, the same for every engine: who is in a round, what is counted, when it closes, who is
missing.

A :class:`Leg` is driven by one thread in :meth:`Leg.run` and fed by the engine's own threads, one call per
event of a site. Updates are summed as they arrive (FedAvg, McMahan et al. 2017), so memory doesn't grow with
the number of sites.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from wardround.federation.engine import (
    Coordinator,
    LegStart,
    LegState,
    LegStatus,
    Refusal,
    RoundResult,
    RoundTask,
    RoundUpdate,
    SiteRound,
    UpdateHeader,
    UpdateRefused,
)
from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import Arrays, ArraysRefused, check, from_bytes, to_bytes, total

NO_CONTACT = "no-contact"
DEADLINE = "deadline"


@dataclass(frozen=True)
class LegEnd:
    """What a site is told when there is no further round."""

    state: LegState
    reason: str


@dataclass
class _Site:
    """What a leg knows of one site. ``waited_for`` is False once it missed a deadline or was lost, until it is
    back.
    """

    last_seen: float
    heard: bool = False
    waited_for: bool = True
    away: str = ""
    told_end: bool = False


@dataclass
class _Round:
    """A round that is open. ``counting``: sites whose update is being checked. ``out``: those that had their turn and
    gave nothing that counts, so that they aren't offered this round again."""

    number: int
    opened: float
    mean: WeightedMean
    task: RoundTask
    waiting: set[str]
    offered: dict[str, float] = field(default_factory=dict)
    done: dict[str, SiteRound] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    counting: set[str] = field(default_factory=set)
    out: set[str] = field(default_factory=set)
    closed: bool = False


class Leg:
    """One leg of a run.

    ``present`` are the sites that the engine brought to the start, ``absent`` the wanted ones that it could
    not, with the reason. A site that says nothing for ``silence`` seconds is lost until it is heard again;
    before it was heard at all it has ``start_silence`` seconds. ``None`` switches that off, for engines that
    know their sites otherwise.
    """

    def __init__(
        self,
        start: LegStart,
        coordinator: Coordinator,
        present: tuple[str, ...],
        absent: Mapping[str, str] | None = None,
        *,
        silence: float | None = None,
        start_silence: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._coordinator = coordinator
        self._silence = silence
        self._start_silence = start_silence if start_silence is not None else silence
        self._clock = clock
        self._changed = threading.Condition()
        # Updates are decoded one after the other, so that memory doesn't grow with the number of sites.
        self._one_at_a_time = threading.Lock()
        self._sites = {site: _Site(clock()) for site in present}
        self._absent = dict(absent or {})
        self._round: _Round | None = None
        self._end: LegEnd | None = None
        self._last_round = 0
        self._arrays = start.arrays
        self._refused: list[Refusal] = []

    # What the engine tells of the sites

    def offer(self, site: str, after_round: int, timeout: float) -> RoundTask | LegEnd | None:
        """The next round after ``after_round`` for this site, the leg's end, or None if neither came within
        ``timeout``.

        Raises :class:`UpdateRefused` (``unknown-site``) for a site that isn't in the leg.
        """
        until = self._clock() + timeout
        with self._changed:
            self._touch(site)
            while True:
                if self._end is not None:
                    self._sites[site].told_end = True
                    self._changed.notify_all()
                    return self._end
                if (now_open := self._joinable(site, after_round)) is not None:
                    now_open.offered[site] = self._clock()
                    self._changed.notify_all()
                    return now_open.task
                remaining = until - self._clock()
                if remaining <= 0:
                    return None
                self._changed.wait(remaining)
                self._touch(site)

    def _joinable(self, site: str, after_round: int) -> _Round | None:
        now_open = self._round
        if now_open is None or now_open.closed or now_open.number <= after_round:
            return None
        if site in now_open.done or site in now_open.counting or site in now_open.out:
            return None
        known = self._sites[site]
        if site not in now_open.waiting:
            now_open.missing.pop(site, None)
            now_open.waiting.add(site)
        known.waited_for, known.away = True, ""
        return now_open

    def alive(self, site: str) -> LegEnd | None:
        """The site was heard, whatever it said; tell it if the leg is over.

        Raises :class:`UpdateRefused` for a site that isn't in the leg.
        """
        with self._changed:
            self._touch(site)
            return self._end

    def lose(self, site: str, reason: str) -> None:
        """The site is gone for now; an open round stops waiting for it."""
        with self._changed:
            if site in self._sites:
                self._lose(site, reason)

    def decline(self, site: str, number: int, reason: str) -> None:
        """The site takes no part in this round, or failed in it; it is asked again at the next."""
        with self._changed:
            self._touch(site)
            now_open = self._round
            if now_open is not None and now_open.number == number and site in now_open.waiting:
                now_open.waiting.discard(site)
                now_open.out.add(site)
                now_open.missing[site] = reason
                self._changed.notify_all()

    def reject(self, site: str, number: int, reason: str) -> UpdateRefused:
        """The engine itself refuses the site's update of this round; count it. Returns the refusal, to be raised."""
        self.decline(site, number, f"refused: {reason}")
        with self._changed:
            return self._refuse(site, number, reason)

    def deliver(self, site: str, number: int, update: RoundUpdate) -> None:
        """Check an update, have the hub admit it, and add it to the mean.

        Raises :class:`UpdateRefused`; the site is then missing from the round, and the refusal is counted.
        """
        with self._changed:
            self._touch(site)
            now_open = self._round
            if now_open is None or now_open.closed or now_open.number != number:
                raise self._refuse(site, number, "wrong-round")
            if site in now_open.done or site in now_open.counting:
                raise self._refuse(site, number, "duplicate")
            if site not in now_open.offered or site in now_open.out:
                raise self._refuse(site, number, "not-in-round")
            # A site that was given up for lost and delivers in time is back.
            now_open.waiting.add(site)
            now_open.counting.add(site)
        with self._one_at_a_time:
            try:
                header = self._header(site, number, update)
                arrays = self._arrays_of(update)
                self._coordinator.admit(header)
            except UpdateRefused as refusal:
                self._settle(now_open, site, None, None, refusal.reason)
                raise
            except BaseException:
                self._settle(now_open, site, None, None, "internal-error")
                raise
            if not self._settle(now_open, site, header, arrays, ""):
                raise UpdateRefused("wrong-round")

    def _header(self, site: str, number: int, update: RoundUpdate) -> UpdateHeader:
        if not (math.isfinite(update.weight) and update.weight > 0):
            raise UpdateRefused("wrong-weight")
        if not all(math.isfinite(value) for value in update.metrics.values()):
            raise UpdateRefused("wrong-metrics")
        return UpdateHeader(
            run_id=self._start.run_id,
            leg_id=self._start.leg_id,
            round=number,
            site=site,
            ledger_index=update.ledger_index,
            digest=sha256(update.update).hexdigest(),
            weight=update.weight,
            metrics=update.metrics,
            steps=update.steps,
            bytes_up=len(update.update),
        )

    def _arrays_of(self, update: RoundUpdate) -> Arrays:
        try:
            arrays = from_bytes(update.update)
            check(arrays, like=self._model)
        except ArraysRefused as error:
            raise UpdateRefused(error.reason) from error
        return arrays

    def _settle(
        self, now_open: _Round, site: str, header: UpdateHeader | None, arrays: Arrays | None, reason: str
    ) -> bool:
        """Count an update, or the lack of it. False if the round closed in the meantime."""
        with self._changed:
            now_open.counting.discard(site)
            now_open.waiting.discard(site)
            self._changed.notify_all()
            if header is None or arrays is None:
                now_open.out.add(site)
                now_open.missing[site] = f"refused: {reason}"
                self._refused.append(Refusal(site, now_open.number, reason))
                return True
            if now_open.closed:
                return False
            now_open.mean.add(arrays, header.weight)
            now_open.missing.pop(site, None)
            now_open.done[site] = SiteRound(
                site=site,
                weight=header.weight,
                metrics=header.metrics,
                ledger_index=header.ledger_index,
                steps=header.steps,
                digest=header.digest,
                bytes_up=header.bytes_up,
                bytes_down=len(now_open.task.arrays),
                seconds=self._clock() - now_open.offered.get(site, now_open.opened),
            )
            return True

    def _refuse(self, site: str, number: int, reason: str) -> UpdateRefused:
        self._refused.append(Refusal(site, number, reason))
        return UpdateRefused(reason)

    def _touch(self, site: str) -> None:
        known = self._sites.get(site)
        if known is None:
            raise UpdateRefused("unknown-site")
        known.last_seen, known.heard = self._clock(), True

    def _lose(self, site: str, reason: str) -> None:
        known = self._sites[site]
        known.waited_for, known.away = False, reason
        now_open = self._round
        if now_open is not None and site in now_open.waiting and site not in now_open.counting:
            now_open.waiting.discard(site)
            now_open.missing[site] = reason
        self._changed.notify_all()

    # The leg itself

    def run(self) -> LegStatus:
        """Run rounds until the hub says stop, the last round is done, the quorum is lost, or the leg is stopped."""
        try:
            self._model = from_bytes(self._start.arrays)
            check(self._model)
        except ArraysRefused as error:
            return self._finish(LegState.FAILED, f"the run's starting weights were refused: {error.reason}")
        for number in range(self._start.first_round, self._start.total_rounds + 1):
            now_open = self._open(number)
            failure = self._wait_for_answers(now_open)
            if self._end is not None:
                return self.status()
            if failure:
                return self._finish(LegState.FAILED, failure)
            result = self._close(now_open)
            wanted = self._coordinator.commit(result)
            self._last_round, self._arrays = number, result.arrays
            if not wanted.go_on:
                return self._finish(LegState.FINISHED, wanted.reason or "stopped by the hub")
        return self._finish(LegState.FINISHED, "last round done")

    def _open(self, number: int) -> _Round:
        task = RoundTask(
            run_id=self._start.run_id,
            leg_id=self._start.leg_id,
            round=number,
            total_rounds=self._start.total_rounds,
            plan=self._start.plan,
            arrays=self._arrays,
            update_kind=self._start.update_kind,
        )
        with self._changed:
            waiting = {name for name, site in self._sites.items() if site.waited_for}
            missing = {name: site.away for name, site in self._sites.items() if not site.waited_for}
            self._round = _Round(
                number, self._clock(), WeightedMean(self._model), task, waiting, missing=missing | self._absent
            )
            self._changed.notify_all()
            return self._round

    def _wait_for_answers(self, now_open: _Round) -> str:
        """Wait until the round can close. Returns why it can't be whole, or nothing."""
        with self._changed:
            while self._end is None:
                now, deadline = self._clock(), self._deadline(now_open)
                if now >= deadline:
                    for site in now_open.waiting - now_open.counting:
                        now_open.missing[site] = DEADLINE
                        self._sites[site].waited_for, self._sites[site].away = False, DEADLINE
                    now_open.waiting &= now_open.counting
                pause = min(deadline - now if now < deadline else math.inf, self._lose_the_silent(now_open, now))
                if not now_open.waiting:
                    break
                self._changed.wait(pause if math.isfinite(pause) else None)
            now_open.closed = True
            if len(now_open.done) >= self._start.quorum:
                return ""
            missing = ", ".join(f"{site} ({reason})" for site, reason in sorted(now_open.missing.items()))
            return (
                f"round {now_open.number} has {len(now_open.done)} of the {self._start.quorum} sites it needs; "
                f"missing: {missing or 'none'}"
            )

    def _deadline(self, now_open: _Round) -> float:
        """When the round closes whoever is missing: counted from the moment when all that are waited for have it.

        Sites that are still starting don't use up the others' time, but they have ``start_silence`` for it at most.
        """
        latest = now_open.opened + (self._start_silence or 0.0)
        if now_open.waiting <= now_open.offered.keys():
            latest = min(latest, max(now_open.offered.values(), default=now_open.opened))
        return latest + self._start.deadline_seconds

    def _lose_the_silent(self, now_open: _Round, now: float) -> float:
        """Stop waiting for sites that went silent. Returns how long until the next could be."""
        soonest = math.inf
        for name in now_open.waiting - now_open.counting:
            site = self._sites[name]
            patience = self._silence if site.heard else self._start_silence
            if patience is None:
                continue
            remaining = site.last_seen + patience - now
            if remaining <= 0:
                self._lose(name, NO_CONTACT)
            else:
                soonest = min(soonest, remaining)
        return soonest

    def _close(self, now_open: _Round) -> RoundResult:
        mean = now_open.mean.result()
        arrays = total(self._model, mean) if self._start.update_kind == "delta" else mean
        self._model = arrays
        with self._changed:
            refused, self._refused = self._refused, []
            return RoundResult(
                run_id=self._start.run_id,
                leg_id=self._start.leg_id,
                round=now_open.number,
                sites=tuple(now_open.done[site] for site in sorted(now_open.done)),
                missing=dict(sorted(now_open.missing.items())),
                refused=tuple(refused),
                seconds=self._clock() - now_open.opened,
                arrays=to_bytes(arrays),
            )

    def _finish(self, state: LegState, reason: str) -> LegStatus:
        with self._changed:
            if self._end is None:
                self._end = LegEnd(state, reason)
            self._changed.notify_all()
        return self.status()

    def stop(self, state: LegState, reason: str) -> None:
        """End the leg now, from any thread; sites hear of it at their next question."""
        self._finish(state, reason)

    def wait_told(self, timeout: float) -> None:
        """Wait until every site that is not away has been told of the end, at most ``timeout`` seconds."""
        until = self._clock() + timeout
        with self._changed:
            while any(site.waited_for and not site.told_end for site in self._sites.values()):
                remaining = until - self._clock()
                if remaining <= 0:
                    return
                self._changed.wait(remaining)

    def status(self) -> LegStatus:
        with self._changed:
            end = self._end or LegEnd(LegState.RUNNING, "")
            away = {name: site.away for name, site in self._sites.items() if site.away}
            return LegStatus(self._start.leg_id, end.state, end.reason, self._last_round, self._absent | away)
