"""The mechanics of a leg, the same for every engine: which rounds, who is waited for, when a round closes.

A :class:`Leg` is driven by one thread in :meth:`Leg.run` and fed by the engine's own threads, one call per event of a
site. What one round counts is in :mod:`wardround.federation.rounds`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from pydantic import TypeAdapter

from wardround.contracts.masking import MaskedLeg
from wardround.contracts.robust import Robust
from wardround.contracts.turns import Turns
from wardround.federation.attendance import NO_CONTACT, Attendance
from wardround.federation.engine import (
    MASKING_STEPS,
    Coordinator,
    LegEnd,
    LegStart,
    LegState,
    LegStatus,
    Refusal,
    RoundTask,
    RoundUpdate,
    UpdateRefused,
)
from wardround.federation.gathering import check_sound
from wardround.federation.masked import NEEDS_QUORUM, Masked, round_of
from wardround.federation.rounds import TOO_FAR, OpenRound
from wardround.federation.spool import Spool, discard
from wardround.federation.turns import RoundOfTurns
from wardround.foundation.stored import Held
from wardround.learning.arrays import ArraysRefused
from wardround.learning.masking.refusal import MaskingRefused

RULE: TypeAdapter[Robust] = TypeAdapter(Robust)
DEADLINE = "deadline"


class Leg:
    """One leg of a run.

    ``present`` are the sites that the engine brought to the start, ``absent`` the wanted ones that it could
    not, with the reason. A site that says nothing for ``silence`` seconds is lost until it is heard again;
    before it was heard at all it has ``start_silence`` seconds. ``None`` switches that off, for engines that
    know their sites otherwise. ``spool`` is where updates and aggregates lie; it is closed when the leg has run.
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
        spool: Spool | None = None,
    ) -> None:
        self._start = start
        self._coordinator = coordinator
        self._clock = clock
        self._changed = threading.Condition()
        self.spool = Spool() if spool is None else spool
        # Updates are unpacked one after the other, so that memory doesn't grow with the number of sites.
        self._one_at_a_time = threading.Lock()
        self._sites = Attendance(present, absent or {}, clock, silence=silence, start_silence=start_silence)
        self._round: OpenRound | None = None
        self._end: LegEnd | None = None
        self._last_round = 0
        self._arrays = start.arrays
        self._made: Held = b""
        self._robust = RULE.validate_python(start.robust) if start.robust else None
        self._masking = MaskedLeg.model_validate(start.masking) if start.masking else None
        self._turns = Turns.model_validate(start.turns) if start.turns else None
        self._refused: list[Refusal] = []

    # What the engine tells of the sites

    def offer(self, site: str, after_round: int, timeout: float) -> RoundTask | LegEnd | None:
        """The next round after ``after_round`` for this site, the leg's end, or None if neither came within
        ``timeout``.

        Raises :class:`UpdateRefused` (``unknown-site``) for a site that isn't in the leg.
        """
        until = self._clock() + timeout
        with self._changed:
            self._sites.heard(site)
            while True:
                if self._end is not None:
                    self._sites.told_end(site)
                    self._changed.notify_all()
                    return self._end
                now_open = self._round
                if now_open and now_open.number > after_round and now_open.offer(site, self._clock()):
                    self._sites.back(site)
                    self._changed.notify_all()
                    return now_open.task_for(site)
                remaining = until - self._clock()
                if remaining <= 0:
                    return None
                self._changed.wait(remaining)
                self._sites.heard(site)

    def alive(self, site: str) -> LegEnd | None:
        """The site was heard, whatever it said; tell it if the leg is over.

        Raises :class:`UpdateRefused` for a site that isn't in the leg.
        """
        with self._changed:
            self._sites.heard(site)
            return self._end

    def sent(self, site: str, number: int, size: int) -> None:
        """So many bytes of this turn went to the site."""
        with self._changed:
            if self._round is not None and self._round.number == number:
                self._round.sent[site] = self._round.sent.get(site, 0) + size

    def welcome(self, site: str) -> None:
        """A site that wasn't at the start, or whose process was lost, has been asked in. Nobody waits for it before it
        asks for a round.
        """
        with self._changed:
            self._sites.welcome(site)

    def lose(self, site: str, reason: str) -> None:
        """The site is gone for now; an open round stops waiting for it."""
        with self._changed:
            self._lose(site, reason)

    def decline(self, site: str, number: int, reason: str) -> None:
        """The site takes no part in this round, or failed in it; it is asked again at the next."""
        with self._changed:
            self._sites.heard(site)
            now_open = self._round
            if now_open is not None and now_open.number == number and site in now_open.waiting:
                now_open.pass_over(site, reason)
                self._changed.notify_all()

    def reject(self, site: str, number: int, reason: str) -> UpdateRefused:
        """The engine itself refuses the site's update of this round; count it. Returns the refusal, to be raised."""
        self.decline(site, number, f"refused: {reason}")
        with self._changed:
            return self._refuse(site, number, reason)

    def deliver(self, site: str, number: int, update: RoundUpdate) -> None:
        """Check an update, have the hub admit it, and add it to the round, which removes the file that it may lie in.

        Raises :class:`UpdateRefused`; the site is then missing from the round, the refusal is counted, and the file is
        the caller's.
        """
        with self._changed:
            self._sites.heard(site)
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
                header = now_open.header(site, update)
                arrays = now_open.sound_arrays(update)
                if now_open.admits:
                    self._coordinator.admit(header)
            except BaseException as error:
                reason = error.reason if isinstance(error, UpdateRefused) else "internal-error"
                with self._changed:
                    now_open.pass_over(site, f"refused: {reason}")
                    self._refuse(site, number, reason)
                    self._changed.notify_all()
                raise
            with self._changed:
                self._changed.notify_all()
                if now_open.closed:
                    raise self._refuse(site, number, "wrong-round")
                try:
                    now_open.count(header, arrays, self._clock())
                except UpdateRefused as error:
                    now_open.pass_over(site, f"refused: {error.reason}")
                    raise self._refuse(site, number, error.reason) from error

    def _refuse(self, site: str, turn: int, reason: str) -> UpdateRefused:
        self._refused.append(Refusal(site, turn if self._masking is None else round_of(turn), reason))
        return UpdateRefused(reason)

    def _lose(self, site: str, reason: str) -> None:
        if self._sites.lose(site, reason) and self._round is not None:
            self._round.give_up(site, reason)
        self._changed.notify_all()

    # The leg itself

    def run(self) -> LegStatus:
        """Run rounds until the hub says stop, the last round is done, the quorum is lost, or the leg is stopped."""
        try:
            return self._run()
        finally:
            self.spool.close()

    def _run(self) -> LegStatus:
        try:
            check_sound(self._start.arrays)
        except ArraysRefused as error:
            return self._finish(LegState.FAILED, f"the run's starting weights were refused: {error.reason}")
        for number in range(self._start.first_round, self._start.total_rounds + 1):
            now_open = self._one_round(number)
            if self._end is not None:
                return self.status()
            if isinstance(now_open, str):
                return self._finish(LegState.FAILED, now_open)
            try:
                made = now_open.aggregate()
            except ArraysRefused as error:
                return self._finish(LegState.FAILED, f"the aggregate of round {number} was refused: {error.reason}")
            with self._changed:
                refused, self._refused = self._refused, []
                result = now_open.result(made, refused, self._clock())
            wanted = self._coordinator.commit(result)
            self._last_round, self._arrays = number, wanted.arrays or made
            discard(self._made)
            self._made = made
            if not wanted.go_on:
                return self._finish(LegState.FINISHED, wanted.reason or "stopped by the hub")
            if wanted.arrays:
                try:
                    check_sound(wanted.arrays)
                except ArraysRefused as error:
                    return self._finish(
                        LegState.FAILED, f"what the hub made of round {number} was refused: {error.reason}"
                    )
                discard(made)
        return self._finish(LegState.FINISHED, "last round done")

    def _task(self, number: int) -> RoundTask:
        return RoundTask(
            run_id=self._start.run_id,
            leg_id=self._start.leg_id,
            round=number,
            total_rounds=self._start.total_rounds,
            plan=self._start.plan,
            arrays=self._arrays,
            update_kind=self._start.update_kind,
        )

    def _one_round(self, number: int) -> OpenRound | RoundOfTurns | str:
        """A round from its opening to its close; or why it can't be whole."""
        if self._turns is not None:
            return self._round_of_turns(self._turns, number)
        return self._open_round(number) if self._masking is None else self._masked_round(self._masking, number)

    def _round_of_turns(self, turns: Turns, number: int) -> RoundOfTurns | str:
        """As `_one_round`, one site after another."""
        whole = RoundOfTurns(self._task(number), self._clock(), self.spool)
        for site in turns.of(self._sites.names, number):
            waiting, missing = self._expected([site])
            if not waiting:
                whole.pass_over(site, missing[site])
                continue
            turn = whole.open(site, self._clock())
            self._wait_for_answers(turn, 0)
            if self._end is not None:
                return whole
            whole.close(turn)
        whole.missing.update(self._sites.absent)
        short = self._short_of(number, len(whole.done), self._start.quorum, whole.told_missing)
        return short or whole

    def _open_round(self, number: int) -> OpenRound | str:
        """As `_one_round`, all sites at once."""
        waiting, missing = self._expected(self._sites.names)
        now_open = OpenRound(self._task(number), self._clock(), waiting, missing, robust=self._robust, spool=self.spool)
        failure = self._wait_for_answers(now_open, self._start.quorum)
        if failure or self._end is not None:
            return failure or now_open
        if self._start.largest_change and self._robust is None:
            # A robust rule outvotes what is far; the mean has no defence but to leave it out.
            with self._changed:
                for site in now_open.leave_out_far(self._start.largest_change):
                    self._refuse(site, number, TOO_FAR)
        return self._short_of(number, len(now_open.done), self._start.quorum, now_open.told_missing) or now_open

    def _masked_round(self, masking: MaskedLeg, number: int) -> OpenRound | str:
        """As `_one_round`, for a masked round: step by step, each for those that did the one before."""
        masked = Masked(masking, self._task(number))
        waiting, missing = self._expected(self._sites.names)
        for name in MASKING_STEPS:
            step = masked.open(name, waiting, missing, self._clock())
            failure = self._wait_for_answers(step, self._start.quorum if name in NEEDS_QUORUM else 0)
            if failure or self._end is not None:
                return failure
            try:
                masked.close(step)
            except MaskingRefused as refused:
                return f"round {number} gave no sum at its step {name} ({refused.reason}); missing: {step.told_missing}"
            waiting, away = self._expected(step.done)
            missing = step.missing | away
        return masked.whole

    def _expected(self, sites: Iterable[str]) -> tuple[set[str], dict[str, str]]:
        """Which of these sites are waited for, and why others are missing."""
        with self._changed:
            return self._sites.expected(sites)

    def _wait_for_answers(self, now_open: OpenRound, least: int) -> str:
        """Open what sites answer to, and wait until it can close. Returns why it can't be whole, or nothing."""
        with self._changed:
            self._round = now_open
            self._changed.notify_all()
            while self._end is None:
                now, deadline = self._clock(), self._deadline(now_open)
                if now >= deadline:
                    for site in now_open.waiting - now_open.counting:
                        self._lose(site, DEADLINE)
                pause = min(deadline - now if now < deadline else math.inf, self._lose_the_silent(now_open, now))
                if not now_open.waiting:
                    break
                self._changed.wait(pause if math.isfinite(pause) else None)
            now_open.closed = True
            return self._short_of(now_open.task.round, len(now_open.done), least, now_open.told_missing)

    @staticmethod
    def _short_of(number: int, done: int, least: int, missing: str) -> str:
        """Why a round can't be whole; nothing where it can."""
        return f"round {number} has {done} of the {least} sites it needs; missing: {missing}" if done < least else ""

    def _deadline(self, now_open: OpenRound) -> float:
        """When the round closes whoever is missing: counted from the moment when all that are waited for have it.

        Sites that are still starting don't use up the others' time, but they have ``start_silence`` for it at most.
        """
        latest = now_open.opened + (self._sites.start_silence or 0.0)
        if now_open.waiting <= now_open.offered.keys():
            latest = min(latest, max(now_open.offered.values(), default=now_open.opened))
        return latest + now_open.seconds(self._start.deadline_seconds)

    def _lose_the_silent(self, now_open: OpenRound, now: float) -> float:
        """Stop waiting for sites that went silent. Returns how long until the next could be."""
        gone, soonest = self._sites.silent(now_open.waiting - now_open.counting, now)
        for site in gone:
            self._lose(site, NO_CONTACT)
        return soonest

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
            while not self._sites.all_told:
                remaining = until - self._clock()
                if remaining <= 0:
                    return
                self._changed.wait(remaining)

    def status(self) -> LegStatus:
        with self._changed:
            end = self._end or LegEnd(LegState.RUNNING, "")
            return LegStatus(self._start.leg_id, end.state, end.reason, self._last_round, self._sites.away)
