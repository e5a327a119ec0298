"""What is watched of a model in use: one chart each, over its studies in the order in which they came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from wardround.contracts.evidence import ShadowUse
from wardround.learning.cusum import Scores, Share, Shift, sums, threshold
from wardround.learning.intervals import proportion
from wardround.learning.statistics.discrepancy import NAMES, differs
from wardround.node.clinic.states import WITH_RESULT, ReadingState
from wardround.node.clinic.tables import WorklistLine

_FAILURES, _FINDINGS, _DIFFERENCES, _MISSES = 3.0, 1.75, 2.5, 2.0
"""By how much the odds change that are to be noticed: of a study without a result, of a finding, of a reader who finds
otherwise, and of a miss where a reader found something: from a sensitivity of 90 % to one of 80 % they are 2.25."""
_SURE = 0.5
"""The level of the interval of shadow use's share of findings whose bound on the side of the change is taken for usual,
so that few studies in shadow make no alarms, and many of them little delay."""
_LOWEST, _HIGHEST = 0.02, 0.98
_FIRST, _BLOCK = 100, 50
"""Images of the first so many studies are what each next block's are held against."""
DRAWN = 60
"""So many points of a chart are enough for a picture of it."""
_Watched = tuple[str, str, Share | Shift]


@dataclass(frozen=True, slots=True)
class Word:
    """A person's on a study: whether the model flagged it, and whether they found otherwise."""

    flagged: bool
    otherwise: bool

    @property
    def found(self) -> bool:
        """Whether the person found something."""
        return self.flagged is not self.otherwise


@dataclass(frozen=True)
class Chart:
    """One chart as it stands. `reason` is the code with which it suspends; above `limit` it does.
    Of images `value` is the last block's probability of chance, as its negative decimal logarithm.

    `broken_at` is the number of the study, from 1, with which it was first above, `studies` how many it has seen.
    `path`: the number of a study and the value after it, for a picture; no more of them than `DRAWN`.
    """

    reason: str
    words: str
    value: float
    limit: float
    studies: int
    broken_at: int | None
    path: tuple[tuple[float, float], ...] = ()


class Charts:
    """The charts of one deployment, to which studies are added as they end; how many at once changes nothing.

    Args:
        shadow: the evidence of its shadow use, against which its findings are held; without it they aren't watched.
        usual_failures: the share of studies without a result that is usual.
        alarm_every: the average run length, in studies, until any of them alarms for nothing. Of the charts of findings
            it holds for the share that shadow use gave as its bound on the side of the change.
    """

    def __init__(self, shadow: ShadowUse | None, usual_failures: float, alarm_every: float) -> None:
        among: dict[str, float] = {}
        failures = Share(usual_failures, _odds(usual_failures, _FAILURES))
        watched: list[_Watched] = [
            ("failures", "studies without a result", failures),
            ("contrast-higher", "images of stronger contrast", Shift(1.0)),
            ("contrast-lower", "images of weaker contrast", Shift(-1.0)),
        ]
        if shadow is not None and shadow.read:
            low, high = _usual(shadow.flagged, shadow.read)
            watched.append(("more-findings", "findings more often", Share(high, _odds(high, _FINDINGS))))
            watched.append(("fewer-findings", "findings more seldom", Share(low, _odds(low, 1 / _FINDINGS))))
        if shadow is not None and any(shadow.agreement):
            both, flagged_alone, found_alone, neither = shadow.agreement
            otherwise = flagged_alone + found_alone
            _, high = _usual(otherwise, both + otherwise + neither)
            change = Share(high, _odds(high, _DIFFERENCES))
            watched.append(("readers-differ", "readers who find otherwise", change))
            if both + found_alone:
                _, high = _usual(found_alone, both + found_alone)
                watched.append(("more-missed", "findings of readers that it missed", Share(high, _odds(high, _MISSES))))
                # Of so few of all studies there is something to miss.
                among["more-missed"] = (both + found_alone) / (both + otherwise + neither)
        # Of several charts the first alarms sooner than any one of them would.
        length = alarm_every * (len(watched) + 2)
        self._contrast = Scores()
        self._sums = [_Sum(*one, threshold(one[2], length * among.get(one[0], 1.0))) for one in watched]
        self._blocks = (
            _Blocks("images-differ", "images otherwise than those that it began with", length),
            _Blocks("patterns-differ", "patterns in images otherwise than in the first", length),
        )

    def add(self, lines: Iterable[WorklistLine]) -> None:
        """Studies that have ended, by arrival, after those that were added before."""
        found: dict[str, list[float]] = {one.reason: [] for one in self._sums}
        flagged: list[float] = []
        contrast: list[float] = []
        for line in lines:
            found["failures"].append(float(line.state == ReadingState.FAILED))
            if line.state not in WITH_RESULT:
                continue
            flagged.append(float(line.flagged))
            if line.contrast is not None:
                contrast.append(self._contrast.of(line.contrast))
            if line.image is not None:
                numbers = tuple(line.image)
                for blocks, part in zip(self._blocks, (numbers[: len(NAMES)], numbers[len(NAMES) :]), strict=True):
                    blocks.add(part)
        found |= {"more-findings": flagged, "fewer-findings": flagged}
        found |= {"contrast-higher": contrast, "contrast-lower": contrast}
        for one in self._sums:
            one.add(found[one.reason])

    def standing(self, words: Sequence[Word] = ()) -> tuple[Chart, ...]:
        """The charts as they stand.

        Args:
            words: of all the studies on which a person gave theirs, by arrival; watched once people did so in shadow
                use.
        """
        of_people = {
            "readers-differ": [word.otherwise for word in words],
            "more-missed": [not word.flagged for word in words if word.found],
        }
        return (*(one.chart(of_people) for one in self._sums), *(one.chart() for one in self._blocks))


def charts(
    lines: Iterable[WorklistLine],
    shadow: ShadowUse | None,
    usual_failures: float,
    alarm_every: float,
    words: Sequence[Word] = (),
) -> tuple[Chart, ...]:
    """The charts of one deployment, of all its studies that have ended. Arguments as those of `Charts`."""
    found = Charts(shadow, usual_failures, alarm_every)
    found.add(lines)
    return found.standing(words)


class _Sum:
    """A cumulative sum. People's words come late and of any study, so that theirs is added up anew each time."""

    def __init__(self, reason: str, words: str, change: Share | Shift, limit: float) -> None:
        self.reason = reason
        self._words, self._change, self._limit = words, change, limit
        self._run: list[float] = []

    def add(self, values: Iterable[float]) -> None:
        self._run += sums(self._change, values, self._run[-1] if self._run else 0.0)

    def chart(self, of_people: Mapping[str, Sequence[bool]]) -> Chart:
        run = sums(self._change, of_people[self.reason]) if self.reason in of_people else self._run
        broken = next((place for place, value in enumerate(run, 1) if value > self._limit), None)
        path = [(float(place), value) for place, value in enumerate(run, 1)]
        last = run[-1] if run else 0.0
        return Chart(self.reason, self._words, last, self._limit, len(run), broken, _thinned(path))


class _Blocks:
    """Images that are otherwise than the first were: each block of them is asked once, at such a share of false alarms
    that there is one in `length` studies on average."""

    def __init__(self, reason: str, words: str, length: float) -> None:
        self._reason, self._words, self._alarms = reason, words, _BLOCK / length
        self._first: list[tuple[float, ...]] = []
        self._block: list[tuple[float, ...]] = []
        self._path: list[tuple[float, float]] = []
        self._studies = 0
        self._broken: int | None = None

    def add(self, numbers: tuple[float, ...]) -> None:
        """An image's; none begins no chart."""
        if not numbers:
            return
        self._studies += 1
        if len(self._first) < _FIRST:
            self._first.append(numbers)
        elif self._broken is None:
            self._block.append(numbers)
        if len(self._block) == _BLOCK:
            chance = _chance(tuple(self._first), tuple(self._block), self._alarms)
            self._path.append((float(self._studies), -math.log10(chance)))
            self._broken = self._studies if chance < self._alarms else None
            self._block.clear()

    def chart(self) -> Chart:
        value, limit = self._path[-1][1] if self._path else 0.0, -math.log10(self._alarms)
        return Chart(self._reason, self._words, value, limit, self._studies, self._broken, _thinned(self._path))


@lru_cache(maxsize=4096)
def _chance(before: tuple[tuple[float, ...], ...], now: tuple[tuple[float, ...], ...], alarms: float) -> float:
    """Of a block that is whole nothing changes any more."""
    return differs(before, now, alarms)


def _thinned(path: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The highest of each stretch, so that no peak is missed, and the last."""
    stretch = math.ceil(len(path) / DRAWN) or 1
    highest = [max(path[at : at + stretch], key=lambda one: one[1]) for at in range(0, len(path), stretch)]
    return tuple(highest[:-1]) + tuple(path[-1:])


def _usual(count: int, total: int) -> tuple[float, float]:
    """The bounds, the lower first, of the share that shadow use had of something, away from 0 and 1."""
    share = proportion(count, total, _SURE)
    low, high = (min(max(one, _LOWEST), _HIGHEST) for one in (share.low, share.high))
    return low, high


def _odds(share: float, times: float) -> float:
    """The share of which the odds are that many times as high."""
    odds = share / (1 - share) * times
    return odds / (1 + odds)
