"""What another order of reading did to waiting, against order of arrival with the same readers at the same times."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush


def in_order_of_arrival(arrived: Sequence[float], opened: Sequence[float]) -> list[float]:
    """When each study would have been opened, had each moment at which a reader opened one gone to whichever waiting
    study had come first. The same moments are given out, so all studies together wait as long as they did.

    Args:
        arrived, opened: seconds, of each study; none is opened before it came.

    Raises:
        ValueError: there aren't as many of both, or a study was opened before it came.
    """
    if len(arrived) != len(opened) or any(late < came for came, late in zip(arrived, opened, strict=True)):
        raise ValueError("each study is opened once, after it came")
    coming = sorted(range(len(arrived)), key=lambda one: (arrived[one], one))
    waiting: list[tuple[float, int]] = []
    found, next_in = [0.0] * len(arrived), 0
    for moment in sorted(opened):
        while next_in < len(coming) and arrived[coming[next_in]] <= moment:
            heappush(waiting, (arrived[coming[next_in]], coming[next_in]))
            next_in += 1
        found[heappop(waiting)[1]] = moment
    return found
