"""What is watched of a model in use: one chart each, over its studies in the order in which they came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from wardround.contracts.evidence import ShadowUse
from wardround.learning.cusum import Share, Shift, scores, sums, threshold
from wardround.learning.intervals import proportion
from wardround.learning.statistics.discrepancy import NAMES, differs
from wardround.node.clinic.states import WITH_RESULT, ReadingState
from wardround.node.clinic.tables import WorklistLine

_FAILURES, _FINDINGS, _DIFFERENCES = 3.0, 1.75, 2.5
"""By how much the odds change that are to be noticed: of a study without a result, of a finding, and of a reader who
finds otherwise."""
_SURE = 0.5
"""The level of the interval of shadow use's share of findings whose bound on the side of the change is taken for usual,
so that few studies in shadow make no alarms, and many of them little delay."""
_LOWEST, _HIGHEST = 0.02, 0.98
_FIRST, _BLOCK = 100, 50
"""Images of the first so many studies are what each next block's are held against."""
DRAWN = 60
"""So many points of a chart are enough for a picture of it."""
_Watched = tuple[str, str, Share | Shift, Sequence[float]]


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


def charts(
    lines: Sequence[WorklistLine],
    shadow: ShadowUse | None,
    usual_failures: float,
    alarm_every: float,
    differing: Sequence[bool] = (),
) -> tuple[Chart, ...]:
    """The charts of one deployment.

    Args:
        lines: its studies that have ended, by arrival.
        shadow: the evidence of its shadow use, against which its findings are held; without it they aren't watched.
        usual_failures: the share of studies without a result that is usual.
        alarm_every: the average run length, in studies, until any of them alarms for nothing. Of the charts of findings
            it holds for the share that shadow use gave as its bound on the side of the change.
        differing: of the studies on which a person gave their word, by arrival, whether they found otherwise; watched
            once people did so in shadow use.
    """
    read = [line for line in lines if line.state in WITH_RESULT]
    failed = [float(line.state == ReadingState.FAILED) for line in lines]
    contrast = scores(line.contrast for line in read if line.contrast is not None)
    watched: list[_Watched] = [
        ("failures", "studies without a result", Share(usual_failures, _odds(usual_failures, _FAILURES)), failed),
        ("contrast-higher", "images of stronger contrast", Shift(1.0), contrast),
        ("contrast-lower", "images of weaker contrast", Shift(-1.0), contrast),
    ]
    if shadow is not None and shadow.read:
        flagged = [float(line.flagged) for line in read]
        share = proportion(shadow.flagged, shadow.read, _SURE)
        high, low = (min(max(one, _LOWEST), _HIGHEST) for one in (share.high, share.low))
        watched.append(("more-findings", "findings more often", Share(high, _odds(high, _FINDINGS)), flagged))
        watched.append(("fewer-findings", "findings more seldom", Share(low, _odds(low, 1 / _FINDINGS)), flagged))
    if shadow is not None and any(shadow.agreement):
        both, flagged_alone, found_alone, neither = shadow.agreement
        otherwise = flagged_alone + found_alone
        usual = proportion(otherwise, both + otherwise + neither, _SURE)
        high = min(max(usual.high, _LOWEST), _HIGHEST)
        change = Share(high, _odds(high, _DIFFERENCES))
        watched.append(("readers-differ", "readers who find otherwise", change, [float(one) for one in differing]))
    # Of several charts the first alarms sooner than any one of them would.
    length = alarm_every * (len(watched) + 2)
    numbers = [tuple(line.image) for line in read if line.image is not None]
    statistics = tuple(one[: len(NAMES)] for one in numbers)
    embeddings = tuple(one[len(NAMES) :] for one in numbers if len(one) > len(NAMES))
    return (
        *(_chart(*one, length) for one in watched),
        _pictures("images-differ", "images otherwise than those that it began with", statistics, length),
        _pictures("patterns-differ", "patterns in images otherwise than in the first", embeddings, length),
    )


def _pictures(reason: str, words: str, seen: tuple[tuple[float, ...], ...], length: float) -> Chart:
    """Images that are otherwise than the first were: each block of them is asked once, at such a share of false alarms
    that there is one in `length` studies on average."""
    alarms = _BLOCK / length
    limit, value, broken = -math.log10(alarms), 0.0, None
    path = []
    for end in range(_FIRST + _BLOCK, len(seen) + 1, _BLOCK):
        chance = _chance(seen[:_FIRST], seen[end - _BLOCK : end], alarms)
        value = -math.log10(chance)
        path.append((float(end), value))
        if chance < alarms:
            broken = end
            break
    return Chart(reason, words, value, limit, len(seen), broken, _thinned(path))


@lru_cache(maxsize=4096)
def _chance(before: tuple[tuple[float, ...], ...], now: tuple[tuple[float, ...], ...], alarms: float) -> float:
    """Of a block that is whole nothing changes any more."""
    return differs(before, now, alarms)


def _chart(reason: str, words: str, change: Share | Shift, values: Sequence[float], length: float) -> Chart:
    limit = threshold(change, length)
    run = sums(change, values)
    broken = next((place for place, value in enumerate(run, 1) if value > limit), None)
    path = [(float(place), value) for place, value in enumerate(run, 1)]
    return Chart(reason, words, run[-1] if run else 0.0, limit, len(run), broken, _thinned(path))


def _thinned(path: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The highest of each stretch, so that no peak is missed, and the last."""
    stretch = math.ceil(len(path) / DRAWN) or 1
    highest = [max(path[at : at + stretch], key=lambda one: one[1]) for at in range(0, len(path), stretch)]
    return tuple(highest[:-1]) + tuple(path[-1:])


def _odds(share: float, times: float) -> float:
    """The share of which the odds are that many times as high."""
    odds = share / (1 - share) * times
    return odds / (1 + odds)
