"""A round in which sites train one after another, each from what the one before it made: cyclic weight transfer.

Chang, Balachandar, Lam, Yi, Brown, Beers, Rosen, Rubin, Kalpathy-Cramer: Distributed deep learning networks among
institutions for medical imaging, JAMIA 2018. A site that misses its turn is passed over, and the model goes on as it
was. What the last one made is the round's aggregate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wardround.federation.engine import Refusal, RoundResult, RoundTask, SiteRound
from wardround.federation.rounds import OpenRound, in_words
from wardround.federation.spool import Spool, discard
from wardround.foundation.stored import Held
from wardround.learning.arrays import ArraysRefused


@dataclass
class Turn(OpenRound):
    """The turn of `site`; nobody else is offered it."""

    site: str = field(kw_only=True)

    def offer(self, site: str, now: float) -> bool:
        return site == self.site and super().offer(site, now)


class RoundOfTurns:
    """A round's turns, opened and closed one after the other; then the round as a whole."""

    def __init__(self, task: RoundTask, opened: float, spool: Spool) -> None:
        self._task = task
        self._opened = opened
        self._spool = spool
        self._made: Held = b""
        self.done: dict[str, SiteRound] = {}
        self.missing: dict[str, str] = {}

    def open(self, site: str, now: float) -> Turn:
        """The next turn, from what the turns so far made of the model."""
        return Turn(self._task, now, {site}, {}, spool=self._spool, site=site)

    def close(self, turn: Turn) -> None:
        """Hand on what the turn made; where it made nothing, or nothing sound, the model stays as it was."""
        self.missing |= turn.missing
        if turn.site not in turn.done:
            turn.close()
            return
        try:
            made = turn.aggregate()
        except ArraysRefused as error:
            self.missing[turn.site] = f"refused: {error.reason}"
            return
        discard(self._made)
        self._made = made
        # Only the first is given the aggregate of the round before: what the others judge has no name.
        metrics = turn.done[turn.site].metrics if not self.done else {}
        self.done[turn.site] = replace(turn.done[turn.site], metrics=metrics)
        self._task = replace(self._task, arrays=made)

    def pass_over(self, site: str, reason: str) -> None:
        """The site isn't there for its turn."""
        self.missing[site] = reason

    @property
    def told_missing(self) -> str:
        """Who is missing and why, in words."""
        return in_words(self.missing)

    def aggregate(self) -> Held:
        """What the last turn made. Raises `ArraysRefused`: `empty`, nobody had a turn."""
        if not self.done:
            raise ArraysRefused("empty", "no site had its turn, so there is no aggregate")
        return self._made

    def result(self, model: Held, refused: Sequence[Refusal], now: float) -> RoundResult:
        return RoundResult(
            run_id=self._task.run_id,
            leg_id=self._task.leg_id,
            round=self._task.round,
            sites=tuple(self.done[site] for site in sorted(self.done)),
            missing=dict(sorted(self.missing.items())),
            refused=tuple(refused),
            seconds=now - self._opened,
            arrays=model,
        )
